"""What a policy would have done with a capture: a file to packets to flows to verdicts, and no trace of it.

`capture` reads pcap and pcapng; `frames` finds the IP packet in a frame; `packets` reads it, fragments too; `streams`
puts TCP segments in order; `flows` asks the decision core about each flow. All of it in bounded memory, in one pass.
"""

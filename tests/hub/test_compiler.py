from enforcer.hub.compiler import Compiled


def test_records_name_a_policy_by_the_beginning_of_its_hash() -> None:
    assert Compiled("0123456789abcdef" * 4, ("chat",), {}).ruleset == "0123456789ab"

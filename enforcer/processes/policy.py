"""From the configuration to the policy that it names."""

import logging
from datetime import datetime
from pathlib import Path

from enforcer.blocklists import compile_to, open_policy, read_signers
from enforcer.blocklists import load as load_lists
from enforcer.config.load import check_services
from enforcer.config.model import Config
from enforcer.config.policy import ThirdParty
from enforcer.errors import Mistake, Mistakes, Unavailable
from enforcer.folders import Folders
from enforcer.hub.compiler import SELF_TEST, Compiled
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.rules import Answer
from enforcer.policy.selftest import self_test
from enforcer.policy.thirdparty import Format, Source
from enforcer.processes.upstreams import upstreams_of

_log = logging.getLogger(__name__)


def compile_config(path: Path, config: Config, now: datetime) -> Compiled:
    """Compile what a configuration names into `data_dir/policy`, and see that it does what its lists say.

    path: the configuration's file, for mistakes in it. Raises Mistakes with everything that is wrong.
    """
    folders = Folders(config.data_dir)
    folder = folders.policy
    try:
        for private in (folders.data, folder):
            private.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Unavailable(f"{error.filename}: cannot be made ({error.strerror}); name another data_dir") from error
    sources = [source_of(each) for each in config.policy.third_party]
    signers = read_signers(config.policy.require_signature)
    lists = load_lists(config.policy.lists, sources, folder / "copies", now.date(), signers)
    for warning in lists.warnings:
        _log.warning("list event=warning %s", warning)
    file = compile_to(folder, lists.own, lists.third_party, settings_of(config))
    policy = open_policy(file)
    wrong = [*check_services(path, config, policy.services)]
    wrong += [
        Mistake(each.file, None, 'answer "sinkhole" has no address to give; write resolver.sinkhole in enforcer.yaml')
        for each in lists.own
        if each.answer is Answer.SINKHOLE and not config.resolver.sinkhole
    ]
    wrong += [Mistake(str(path), None, f"{SELF_TEST}{failure}") for failure in self_test(policy)]
    if wrong:
        raise Mistakes(wrong)
    return Compiled(file.name, policy.services, policy.rules_by)


def settings_of(config: Config) -> PolicySettings:
    """What judging needs to know of a configuration."""
    asked = (upstreams_of(config), *config.resolver.local.forward.values())
    ours = (endpoint for listener in config.resolver.listeners for endpoint in (listener.tls, listener.https))
    return PolicySettings(
        answer=config.resolver.answer,
        ban=config.policy.ban,
        nat64=config.resolver.nat64,
        upstreams=tuple(str(upstream.address) for upstreams in asked for upstream in upstreams)
        + tuple(str(each.address) for each in ours if each is not None and not each.address.is_unspecified),
    )


def source_of(third_party: ThirdParty) -> Source:
    """A third-party list of the configuration, as the reader of lists wants it."""
    return Source(
        name=third_party.list_name,
        file=str(third_party.file),
        service=third_party.service,
        part=third_party.part,
        evidence=third_party.evidence,
        format=Format(third_party.format.value),
        max_bad_lines=third_party.max_bad_lines,
    )

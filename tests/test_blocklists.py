import hashlib
import os
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enforcer.blocklists import (
    compile_to,
    load,
    load_lists,
    load_third_party,
    open_policy,
    read_signers,
    shipped,
    shipped_folder,
)
from enforcer.errors import Corrupt, Mistakes, Unavailable
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.selftest import self_test
from enforcer.policy.signature import key_of, sign
from enforcer.policy.thirdparty import Source
from enforcer.policy.verdict import Action
from tests.policy.made import CLIENT, NOW, PLAIN, TODAY, a_list, list_text, third_party, to


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def source(path: Path, name: str = "others", max_bad_lines: int = 0) -> Source:
    return Source(name, str(path), "others", max_bad_lines=max_bad_lines)


def texts(error: pytest.ExceptionInfo[Mistakes]) -> list[str]:
    return [f"{Path(each.file).name}:{each.line}: {each.what}" for each in error.value.mistakes]


# Reading


def test_the_shipped_lists_are_found_by_name_and_make_a_policy_that_passes_its_test(tmp_path: Path) -> None:
    names = ("wechat.yaml", "kaspersky.yaml", "bypass.yaml")
    paths = [path for name in names if (path := shipped(name))]
    assert len(paths) == 3
    policy = open_policy(compile_to(tmp_path, load_lists(paths, TODAY), (), PLAIN))
    assert self_test(policy) == []
    assert policy.judge(to("short.weixin.qq.com"), CLIENT, NOW).action is Action.BLOCK
    assert policy.judge(to("qq.com"), CLIENT, NOW).action is Action.ALLOW


@pytest.mark.parametrize(
    "name", ["nothing.yaml", "README.md", "../pyproject.toml", "", "/etc/passwd", f"{'x' * 300}.yaml"]
)
def test_only_a_list_is_a_shipped_list(name: str) -> None:
    assert shipped(name) is None
    assert shipped_folder().is_dir()


def test_the_mistakes_of_all_lists_are_reported_together(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, "one.yaml", list_text(["suffix: a..test"])),
        written(tmp_path, "good.yaml", list_text(["suffix: a.test"])),
        written(tmp_path, "two.yaml", list_text(["cidr: 203.0.113.1/24"])),
        tmp_path / "three.yaml",
    ]
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"service: chat\ntitle: {en: \xe9}\n")
    with pytest.raises(Mistakes) as error:
        load_lists([*paths, latin], TODAY)
    assert texts(error) == [
        'one.yaml:8: "a..test" is not a domain name; did you mean "a.test"?',
        'two.yaml:8: network "203.0.113.1/24" has bits behind its prefix; write "203.0.113.0/24"',
        "three.yaml:None: cannot be read: No such file or directory",
        "latin.yaml:2: not UTF-8; save the file as UTF-8",
    ]


def test_lists_of_both_kinds_are_loaded_with_their_warnings(tmp_path: Path) -> None:
    chat = written(tmp_path, "chat.yaml", list_text(["suffix: chat.test, expires: 2020-01-01"]))
    ads = written(tmp_path, "ads.txt", "ads.test\n")
    lists = load([chat], [source(ads)], tmp_path / "copies", TODAY)
    assert [each.name for each in lists.own] == ["chat"]
    assert [len(each.suffixes) for each in lists.third_party] == [1]
    assert ["expired on 2020-01-01" in warning.what for warning in lists.warnings] == [True]


def test_a_mistake_in_either_kind_is_reported_with_those_of_the_other(tmp_path: Path) -> None:
    chat = written(tmp_path, "chat.yaml", list_text(["suffix: a..test"]))
    with pytest.raises(Mistakes) as error:
        load([chat], [source(tmp_path / "ads.txt")], tmp_path / "copies", TODAY)
    assert [text.partition(":")[0] for text in texts(error)] == ["chat.yaml", "ads.txt"]


def test_two_lists_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    paths = [written(tmp_path, name, list_text(["suffix: a.test"])) for name in ("chat.yaml", "more/chat.yaml")]
    ads = written(tmp_path, "ads.txt", "ads.test\n")
    with pytest.raises(Mistakes) as error:
        load(paths, [source(ads, "chat")], tmp_path / "copies", TODAY)
    assert [text.split(" is also ")[0] for text in texts(error)] == [
        'chat.yaml:None: list "chat"',
        'ads.txt:None: list "chat"',
    ]


# The last good copy


def test_a_third_party_list_that_went_bad_is_replaced_by_its_last_good_copy(tmp_path: Path) -> None:
    ads, copies = written(tmp_path, "ads.txt", "ads.test\nmore.test\n"), tmp_path / "copies"
    good, warnings = load_third_party([source(ads)], copies)
    assert warnings == ()
    ads.write_text("<html>\n")
    for _ in range(2):
        found, warnings = load_third_party([source(ads)], copies)
        assert found == good
        assert [warning.what for warning in warnings] == [
            '"<html>" is not a domain name',
            "more than 0 bad lines; mend the list, or raise max_bad_lines",
            "the last good copy stays in force",
        ]
    ads.unlink()
    found, warnings = load_third_party([source(ads)], copies)
    assert found == good
    assert warnings[0].what == "cannot be read: No such file or directory"
    ads.write_text("new.test\n")
    found, warnings = load_third_party([source(ads)], copies)
    assert (len(found[0].suffixes), warnings) == (1, ())
    assert [path.name for path in copies.iterdir()] == ["others"]


def test_a_bad_third_party_list_without_a_copy_is_refused(tmp_path: Path) -> None:
    ads = written(tmp_path, "ads.txt", "<html>\n")
    with pytest.raises(Mistakes, match="more than 0 bad lines"):
        load_third_party([source(ads)], tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


def test_bad_lines_within_the_limit_are_a_warning(tmp_path: Path) -> None:
    ads = written(tmp_path, "ads.txt", "ads.test\na..test\nmore.test\n<p>\n")
    found, warnings = load_third_party([source(ads, max_bad_lines=2)], tmp_path / "copies")
    assert len(found[0].suffixes) == 2
    assert list(map(str, warnings)) == [f"{ads}:2: the first of 2 bad lines, which are left out"]


@pytest.mark.parametrize(
    ("text", "format_"), [("! title\n/banner/\n", "adblock"), ("", "domains"), ("# gone\n", "domains")]
)
def test_a_third_party_list_without_any_name_is_not_a_good_one(tmp_path: Path, text: str, format_: str) -> None:
    ads = written(tmp_path, "ads.txt", text)
    what = f"no names in it, read as {format_}; say its format, or leave the list out"
    with pytest.raises(Mistakes, match=what):
        load_third_party([source(ads)], tmp_path / "copies")
    ads.write_text("ads.test\n")
    good, _ = load_third_party([source(ads)], tmp_path / "copies")
    ads.write_text(text)
    found, warnings = load_third_party([source(ads)], tmp_path / "copies")
    assert found == good
    assert [warning.what for warning in warnings] == [what, "the last good copy stays in force"]


def test_what_is_no_file_is_refused_with_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ads.txt")
    with pytest.raises(Mistakes, match=r"cannot be read: .* is a named pipe"):
        load_third_party([source(tmp_path / "ads.txt")], tmp_path / "copies")


def test_lists_with_names_alike_keep_copies_of_their_own(tmp_path: Path) -> None:
    files = [written(tmp_path, name, f"{name}.test\n") for name in ("one", "two")]
    sources = [source(files[0], "ads"), source(files[1], "ads.new")]
    good, _ = load_third_party(sources, tmp_path / "copies")
    files[1].unlink()
    assert load_third_party(sources, tmp_path / "copies")[0] == good


# The compiled file


def test_a_policy_is_written_under_the_name_of_its_content(tmp_path: Path) -> None:
    path = compile_to(tmp_path / "policy", [a_list("suffix: chat.test")], [third_party("ads.test\n")], PLAIN)
    assert path.name == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    policy = open_policy(path)
    assert policy.ruleset == path.name[:12]
    for name in ("a.chat.test", "ads.test"):
        assert policy.judge(to(name), CLIENT, NOW).action is Action.BLOCK


def test_the_same_lists_give_the_same_file_which_is_left_alone(tmp_path: Path) -> None:
    path = compile_to(tmp_path, [a_list("suffix: chat.test")], [], PLAIN)
    before = path.stat()
    assert compile_to(tmp_path, [a_list("suffix: chat.test")], [], PLAIN) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert compile_to(tmp_path, [a_list("suffix: chat.test")], [], PolicySettings(ban="tbs-1")) != path


def test_a_file_that_was_damaged_is_refused_and_written_anew(tmp_path: Path) -> None:
    lists = [a_list("suffix: chat.test")]
    path = compile_to(tmp_path, lists, [], PLAIN)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="its content is not what its name says"):
        open_policy(path)
    assert compile_to(tmp_path, lists, [], PLAIN) == path
    assert open_policy(path).ruleset == path.name[:12]


def test_a_worker_may_leave_the_check_to_the_hub(tmp_path: Path) -> None:
    path = compile_to(tmp_path, [a_list("suffix: chat.test")], [], PLAIN)
    moved = path.rename(tmp_path / ("0" * 64))
    assert open_policy(moved, verify=False).ruleset == "000000000000"
    with pytest.raises(Corrupt):
        open_policy(moved)


@pytest.mark.parametrize("content", [b"", b"no policy"])
def test_what_is_no_policy_is_refused_with_the_name_of_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=str(path)):
        open_policy(path)


def test_a_policy_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file or directory; reload the policy to have it compiled again"):
        open_policy(tmp_path / "0123")


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    file = written(tmp_path, "policy", "a file, not a folder")
    with pytest.raises(Unavailable, match="the policy cannot be written"):
        compile_to(file, [], [], PLAIN)


def test_a_policy_in_use_outlives_its_file(tmp_path: Path) -> None:
    path = compile_to(tmp_path, [], [third_party("".join(f"n{number}.test\n" for number in range(1000)))], PLAIN)
    policy = open_policy(path)
    path.unlink()
    assert policy.judge(to("a.n999.test"), CLIENT, NOW).action is Action.BLOCK


def test_the_date_of_loading_is_no_part_of_the_policy(tmp_path: Path) -> None:
    chat = written(tmp_path, "chat.yaml", list_text(["suffix: chat.test, expires: 2027-01-01"]))
    days = [date(2026, 1, 1), date(2028, 1, 1)]
    assert len({compile_to(tmp_path / "policy", load_lists([chat], day), (), PLAIN) for day in days}) == 1


def test_where_signatures_are_demanded_each_list_has_a_good_one(tmp_path: Path) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(32))
    path = tmp_path / "chat.yaml"
    path.write_text(list_text(["suffix: chat.test"]))
    with pytest.raises(Mistakes, match=r"chat\.yaml: signature: there is no chat\.yaml\.minisig; sign the list"):
        load_lists([path], TODAY, [key_of(private)])
    path.with_name("chat.yaml.minisig").write_text(sign(path.read_bytes(), private, "chat"))
    (found,) = load_lists([path], TODAY, [key_of(private)])
    assert [rule.trigger for rule in found.rules] == ["chat.test"]
    path.write_text(path.read_text() + "# another line\n")
    with pytest.raises(Mistakes, match="signature: the signature is not that of this list"):
        load_lists([path], TODAY, [key_of(private)])
    load_lists([path], TODAY)


def test_keys_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text("hello")
    with pytest.raises(Mistakes) as caught:
        read_signers([tmp_path / "a.pub", tmp_path / "b.pub"])
    assert [each.what[:20] for each in caught.value.mistakes] == ["this is no public ke", "cannot be read: No s"]

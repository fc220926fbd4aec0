import pytest

from enforcer.errors import Corrupt, EnforcerError, Malformed, Mistake, Mistakes, Unavailable


def test_a_mistake_says_where_and_what() -> None:
    assert str(Mistake("chat.yaml", 3, '"chat,test" is wrong')) == 'chat.yaml:3: "chat,test" is wrong'
    assert str(Mistake("chat.yaml", None, "cannot be read")) == "chat.yaml: cannot be read"


def test_mistakes_keep_their_order_and_print_one_a_line() -> None:
    mistakes = (Mistake("b.yaml", 2, "second"), Mistake("a.yaml", None, "first"))
    error = Mistakes(iter(mistakes))
    assert error.mistakes == mistakes
    assert str(error) == "b.yaml:2: second\na.yaml: first"


def test_malformed_keeps_what_is_wrong_as_a_fact() -> None:
    error = Malformed("message: it ends in the middle of a name")
    assert str(error) == error.what == "message: it ends in the middle of a name"


@pytest.mark.parametrize("error", [Malformed("x"), Mistakes([Mistake("f", 1, "x")]), Unavailable("x"), Corrupt("x")])
def test_whoever_catches_the_root_catches_each_member(error: EnforcerError) -> None:
    with pytest.raises(EnforcerError, match="x"):
        raise error


def test_a_peers_fault_is_no_mistake_of_a_person_and_neither_is_a_missing_thing() -> None:
    members = (Malformed, Mistakes, Unavailable, Corrupt)
    assert all(not issubclass(one, other) for one in members for other in members if one is not other)

"""What a model is given: it fits, the most important stays, and what is missing is told."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from stretto.shared.context.assembly import assemble
from stretto.shared.context.cut import CUT_MARK, cut_to_chars, cut_to_tokens
from stretto.shared.context.room import Rooms
from stretto.shared.context.so_far import conversation_so_far
from stretto.shared.context.tokens import most_tokens_of
from stretto.shared.contracts.conversation import Conversation, Turn
from stretto.shared.models.protocol import Document, DocumentKind
from stretto.shared.models.provider_settings import ProviderSettings

WORDS = "The parcel goes abroad within a week. It costs nine euros. "


def turn(number: int, *, words: int = 1, answered: bool = True) -> Turn:
    return Turn(
        run=f"run-{number}",
        request=f"Question {number}?",
        answer=f"Answer {number}. " + WORDS * words,
        answered=answered,
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def document(id_: str, text: str, kind: DocumentKind = "passage", score: float | None = None) -> Document:
    return Document(id=id_, text=text, kind=kind, source="shipping.md", score=score)


def tokens(documents: tuple[Document, ...]) -> int:
    return sum(most_tokens_of(one.text) for one in documents)


def test_the_estimate_is_at_least_what_byte_level_tokenizers_make_of_it() -> None:
    assert most_tokens_of("The parcel goes abroad.") == 12  # six tokens in fact
    assert most_tokens_of("小包は海外へ") == 18  # never more tokens than bytes
    assert most_tokens_of("\ud800") == 3
    assert most_tokens_of("") == 0


@given(st.text(max_size=300), st.integers(min_value=10, max_value=200))
def test_a_cut_text_fits_and_says_that_it_is_cut(text: str, room: int) -> None:
    cut = cut_to_tokens(text, room)
    assert most_tokens_of(cut) <= room
    assert cut == text or (cut.endswith(CUT_MARK) and text.startswith(cut.removesuffix(CUT_MARK)))
    assert len(cut_to_chars(text, room)) <= room


def test_a_text_is_cut_at_a_sentence() -> None:
    assert cut_to_chars(WORDS * 3, 80) == "The parcel goes abroad within a week. It costs nine euros. […]"
    assert cut_to_chars("小包は海外へ。九ユーロかかります。", 15) == "小包は海外へ。 […]"
    assert cut_to_chars("word " * 50, 23) == "word word word word […]"
    assert cut_to_chars("x" * 50, 14) == "x" * 10 + CUT_MARK


def test_without_a_limit_all_is_given_the_conversation_first() -> None:
    said = Conversation(id="c", turns=(turn(8), turn(9)), summary="- Question 7? → Answer 7.", left_out=7)
    found = assemble(instructions="do", question="why?", documents=[document("a", "text")], conversation=said)
    assert [one.id for one in found.documents] == ["turns-before", "turn-8", "turn-9", "a"]
    assert {one.kind for one in found.documents[:3]} == {"turn"}
    assert found.documents[1].text.startswith("Asked: Question 8?\nAnswered: Answer 8.")
    assert found.left_out == ()


def test_turns_go_first_then_weak_passages_and_inputs_last() -> None:
    said = Conversation(id="c", turns=tuple(turn(number) for number in (1, 2, 3)), summary="- older", left_out=0)
    documents = [
        document("weak", WORDS * 4, score=0.1),
        document("strong", WORDS * 4, score=0.9),
        document("finding", WORDS * 4, "finding"),
    ]

    def ids(room: int) -> list[str]:
        given = assemble(
            instructions="do", question="why?", documents=documents, conversation=said, room_tokens=room
        ).documents
        return [one.id for one in given if not one.text.endswith(CUT_MARK)]

    assert ids(5_000) == ["turns-before", "turn-1", "turn-2", "turn-3", "weak", "strong", "finding"]
    assert ids(800) == ["turn-3", "weak", "strong", "finding"]
    assert ids(500) == ["strong", "finding"]
    assert ids(230) == ["finding"]
    assert ids(10) == []


def test_what_is_left_out_is_counted_and_not_shown() -> None:
    documents = [document(str(number), f"{WORDS * 20}secret {number}") for number in range(4)]
    found = assemble(instructions="do", question="why?", documents=documents, room_tokens=1_000)
    assert found.left_out == ("2 passages were left out: no room", "1 passage was cut: no room")
    assert [one.id for one in found.documents] == ["0", "1"]


@given(
    st.lists(st.tuples(st.sampled_from(["finding", "passage", "text"]), st.text(max_size=2_000)), max_size=8),
    st.integers(min_value=0, max_value=3_000),
    st.integers(min_value=0, max_value=1_000),
)
def test_it_never_takes_more_than_there_is(texts: list[tuple[DocumentKind, str]], room: int, taken: int) -> None:
    documents = [document(f"d{at}", text, kind) for at, (kind, text) in enumerate(texts)]
    said = conversation_so_far("c", [turn(number, words=3) for number in range(12)])
    found = assemble(
        instructions="do it",
        question="why?",
        documents=documents,
        conversation=said,
        taken_tokens=taken,
        room_tokens=room,
    )
    assert not found.documents or tokens(found.documents) + taken + 5 <= room
    assert bool(found.left_out) == (
        found.documents != assemble(instructions="", question="", documents=documents, conversation=said).documents
    )


def test_five_hundred_turns_stay_bounded() -> None:
    turns = [turn(number, words=200) for number in range(1, 501)]
    known = conversation_so_far("c", turns)
    assert len(known.model_dump_json()) < 20_000
    assert known.turns[-1].request == "Question 500?"
    assert known.left_out == 500 - len(known.turns)
    assert "Question 490?" in known.summary
    assert "Question 5?" not in known.summary


def test_a_short_conversation_is_whole() -> None:
    turns = [turn(1), turn(2, answered=False)]
    assert conversation_so_far("c", turns) == Conversation(id="c", turns=tuple(turns))


def test_one_turn_is_always_there() -> None:
    long = turn(1).model_copy(update={"answer": WORDS * 5_000})
    assert len(conversation_so_far("c", [turn(0), long]).turns) == 2
    assert not conversation_so_far("c", []).turns


class Known:
    def window_of(self, model: str) -> int | None:
        return 200_000 if model == "anthropic:big" else None


def test_the_room_is_what_the_reply_leaves_of_the_context() -> None:
    settings = {
        "anthropic": ProviderSettings(max_output_tokens=16_000),
        "local": ProviderSettings(context_tokens=4_096),
        "other": ProviderSettings(),
    }
    rooms = Rooms(settings, windows=Known())
    assert rooms.of("anthropic:big") == 200_000 - 16_000 - 1_024
    assert rooms.of("local:any") == 4_096 - 1_024 - 512
    assert rooms.of("other:any") == 16_384 - 4_096 - 1_024
    assert rooms.of("offline") is None
    assert rooms.of("scripted:reply.json") is None

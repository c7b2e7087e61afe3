import pytest
from transformers import AutoTokenizer

from drcap.captioner.prompt import PromptBuilder, pad, prompt_builder
from drcap.config import CaptionerConfig

INSTRUCTION = "USER : Describe the audio you hear . ASSISTANT :"


@pytest.fixture
def tokenizer(language_model):
    return AutoTokenizer.from_pretrained(language_model)


@pytest.fixture
def builder(tokenizer):
    return lambda **settings: PromptBuilder(tokenizer, CaptionerConfig(**settings))


def read(tokenizer, prompt):
    """Write a prompt as words, with <audio> in the slot."""
    words = tokenizer.convert_ids_to_tokens(prompt.ids)
    words[prompt.slot] = "<audio>"
    return " ".join(words)


def test_the_audio_follows_the_captions_and_precedes_the_instruction(
    builder, tokenizer
):
    prompt = builder().prompt(["A dog is heard", "Rain makes a sound"])
    assert read(tokenizer, prompt) == (
        f"<bos> A dog is heard . Rain makes a sound . <eos> <audio> <bos> {INSTRUCTION}"
    )


def test_the_audio_comes_first_in_the_order_of_the_papers_formula(builder, tokenizer):
    prompt = builder(audio_token="first").prompt(["A dog is heard"])
    expected = f"<audio> <bos> A dog is heard . <eos> <bos> {INSTRUCTION}"
    assert (prompt.slot, read(tokenizer, prompt)) == (0, expected)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("after_captions", f"<bos> <eos> <audio> <bos> {INSTRUCTION}"),
        ("first", f"<audio> <bos> <eos> <bos> {INSTRUCTION}"),
    ],
)
def test_without_captions_the_layout_stays(builder, tokenizer, place, expected):
    assert read(tokenizer, builder(audio_token=place).prompt([])) == expected


def test_each_caption_ends_with_one_full_stop(builder):
    plain = builder().prompt(["A dog is heard", "Rain is heard"])
    assert builder().prompt(["A dog is heard.", "Rain is heard... "]) == plain


def test_the_instruction_is_a_setting(builder, tokenizer):
    prompt = builder(instruction="the dog .").prompt([])
    assert read(tokenizer, prompt).endswith("USER : the dog . ASSISTANT :")


def test_a_tokenizer_without_a_start_token_gives_none(builder, tokenizer):
    tokenizer.bos_token = None
    prompt = builder().prompt(["A dog is heard"])
    assert read(tokenizer, prompt) == (f"A dog is heard . <eos> <audio> {INSTRUCTION}")


def test_a_target_is_the_caption_and_the_end_token(builder, tokenizer):
    target = builder().target("A dog is heard")
    assert tokenizer.convert_ids_to_tokens(target) == "A dog is heard <eos>".split()


@pytest.mark.parametrize(
    ("side", "ids", "mask"),
    [
        ("left", [[5, 6, 7], [9, 9, 8]], [[1, 1, 1], [0, 0, 1]]),
        ("right", [[5, 6, 7], [8, 9, 9]], [[1, 1, 1], [1, 0, 0]]),
    ],
)
def test_rows_are_padded_on_either_side(side, ids, mask):
    padded = pad([[5, 6, 7], [8]], 9, side)
    assert [tensor.tolist() for tensor in padded] == [ids, mask]


def test_a_token_that_equals_the_padding_is_not_masked():
    assert pad([[9, 5], [9]], 9, "left")[1].tolist() == [[1, 1], [0, 1]]


# the two styles, letter by letter


@pytest.fixture
def spelled():
    """Lay a prompt and a target out in a style; as letters, as Llama's tokenizer cuts.

    A text begins with a blank that nobody wrote, and <a> is the audio's slot.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = [*map(chr, range(32, 127)), "\n", "_", "<s>", "</s>", "<unk>"]
    vocabulary = {
        letter: number for number, letter in enumerate(dict.fromkeys(letters))
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("_"), normalizers.Replace(" ", "_")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    )

    def spelled(style, similar_captions, caption):
        builder = prompt_builder(fast, CaptionerConfig(style=style))
        prompt = builder.prompt(similar_captions)
        words = fast.convert_ids_to_tokens(prompt.ids)
        words[prompt.slot] = "<a>"
        target = fast.convert_ids_to_tokens(builder.target(caption))
        return "".join(words), "".join(target)

    return spelled


def test_our_style_letter_by_letter(spelled):
    assert spelled("ours", ["A dog.", "Rain"], "Wind") == (
        "<s>_A_dog._Rain.</s><a><s>_USER:_Describe_the_audio_you_hear.\n_ASSISTANT:",
        "__Wind</s>",
    )


def test_the_authors_style_letter_by_letter(spelled):
    assert spelled("authors", ["A dog.", "Rain"], "Wind") == (
        "<s>_A_dog.._Rain._</s><a><s>_USER:_Describe_the_audio_you_hear._\n_ASSISTANT:",
        "Wind</s>",
    )


def test_the_authors_style_without_captions(spelled):
    prompt, _ = spelled("authors", [], "Wind")
    assert prompt.replace("_</s>", "</s>", 1).startswith("<s></s><a><s>_USER:")

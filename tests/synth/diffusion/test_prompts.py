"""Prompts: one for each operation, English only, never cut off unseen."""

import pytest

from core.errors import UsageError
from synth.diffusion import paint
from synth.diffusion.prompts import TOKENS, checked_prompt, fitting_prompt, negative_prompt, prompt_for, table
from tests.synth.diffusion import tiny
from tests.synth.diffusion.conftest import options, views


@pytest.mark.parametrize("text", [
    "a straight nose with smooth skin", "natural portrait photo", "slim chin, sharp focus",
    "van Dyke beard, studio photo", "less wrinkles", "photograph of a man in a garden", "refined tip"])
def test_english_is_read(text):
    assert checked_prompt(f"  {text} ") == text


@pytest.mark.parametrize("text", [
    "eine schmale Nase", "schmale Nase ohne Höcker", "un nez plus fin", "nez fin et peau lisse",
    "una nariz recta con piel", "un naso dritto senza gobba", "um nariz reto com pele",
    "een rechte neus met gladde huid", "прямой нос",
    "daha küçük bir burun", "أنف مستقيم", "まっすぐな鼻"])
def test_other_languages_are_refused(text):
    with pytest.raises(UsageError) as error:
        checked_prompt(text)
    assert error.value.code == "prompt_language" and "English" in error.value.hint


def test_every_operation_has_words_and_none_are_repeated():
    for name, words in table()["procedures"].items():
        assert words in prompt_for([name]) and checked_prompt(prompt_for([name]))
    assert prompt_for(["rhinoplasty"] * 3) == prompt_for(["rhinoplasty"])
    assert len(negative_prompt().split()) < TOKENS - 2 and prompt_for([]) == prompt_for(())


def test_a_plan_of_many_operations_is_told_as_far_as_it_fits():
    names = sorted(table()["procedures"])
    text, left_out = fitting_prompt(names, lambda t: len(t.split()) * 2)
    assert len(text.split()) * 2 <= TOKENS and 0 < len(left_out) < len(names)
    assert table()["procedures"][names[0]] in text and table()["procedures"][left_out[0]] not in text
    assert fitting_prompt(names, lambda t: 1000)[1] == tuple(names)


def test_what_has_no_room_is_said(full):
    made = paint(views(1), full, options(mode="controlnet_ip", guidance=1.0), sorted(table()["procedures"]),
                 face=tiny.picture(9, 90, 90))
    assert any("no room" in note and "rhytidectomy" in note for note in made.notes)
    count = len(full.pipe.tokenizer(made.provenance["prompt"], truncation=False).input_ids)
    assert count <= TOKENS

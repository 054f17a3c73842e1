"""Prompts: what the model is told for each operation (`data/prompts.yaml`), or a person's own words, checked.

The text encoder of Stable Diffusion 1.5 reads English; other languages become noise, so they are refused, not used.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from core.errors import UsageError

TOKENS = 77
"""What the text encoder reads, begin and end counted."""
FOREIGN = frozenset(
    "der die das und mit eine einen einer ein ist nicht schmale schmalere nase kinn haut gesicht ohne für auf "
    "le la les des avec une dans pour nez peau visage sans plus petit et du au sur "
    "el los las con una por piel nariz cara rostro sin más pequeña del y en "
    "il lo gli con uno senza naso pelle viso più piccolo di della "
    "o os um uma com sem pele rosto mais menor do da "
    "het een met zonder neus huid gezicht van de "
    "i na bez nos skóra twarz oraz jest".split()) - {"a", "i", "on", "o", "do", "lo", "des"}
"""Small words of other languages that write with Latin letters, and what people ask for in them."""
ENGLISH = frozenset(
    "a an the of with and in on for no not is at to from more less face skin nose chin lips lip eyes eye natural "
    "smooth slim straight photo photograph portrait cheek cheeks jaw neck brow brows soft firm light without ear "
    "ears".split())


@cache
def table() -> dict[str, Any]:
    """`data/prompts.yaml`."""
    return dict(yaml.safe_load((files("data") / "prompts.yaml").read_text("utf-8")))


def prompt_for(procedures: Sequence[str]) -> str:
    """The prompt of a plan's operations, without repeats. UsageError: there is none for one of them."""
    known = table()["procedures"]
    unknown = [name for name in procedures if name not in known]
    if unknown:
        raise UsageError("no_prompt", f"There is no prompt for {', '.join(unknown)}.",
                         f"Known: {', '.join(sorted(known))}; or give your own with --prompt.")
    region = ", ".join(known[name] for name in dict.fromkeys(procedures)) or "a calm expression"
    return str(table()["base"]).format(region=region)


def negative_prompt() -> str:
    """What pictures should not show."""
    return " ".join(str(table()["negative"]).split())


def checked_prompt(text: str) -> str:
    """A person's own prompt. UsageError: it is empty or in another language."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if not words:
        raise UsageError("empty_prompt", "The prompt has no words.", "Leave it out to take the operation's own.")
    if not text.isascii() and any(ord(c) > 0x7F and c.isalpha() for c in text):
        raise other_language(text)
    foreign, english = (sum(w in known for w in words) for known in (FOREIGN, ENGLISH))
    if foreign > english:
        raise other_language(text)
    return " ".join(text.split())


def check_length(text: str, count: Callable[[str], int]) -> None:
    """UsageError: the text has more tokens than the encoder reads; `count` is the tokenizer's."""
    found = count(text)
    if found > TOKENS:
        raise UsageError("prompt_too_long", f"The prompt has {found - 2} tokens; the model reads {TOKENS - 2}.",
                         "Shorten it, or choose fewer operations: what is behind would be cut off unseen.")


def fitting_prompt(procedures: Sequence[str], count: Callable[[str], int]) -> tuple[str, tuple[str, ...]]:
    """The prompt of as many of a plan's operations, from the first, as the encoder reads; and those left out."""
    names = list(dict.fromkeys(procedures))
    for kept in range(len(names), 0, -1):
        text = prompt_for(names[:kept])
        if count(text) <= TOKENS:
            return text, tuple(names[kept:])
    return prompt_for(()), tuple(names)


def other_language(text: str) -> UsageError:
    """The error."""
    return UsageError("prompt_language", f"The prompt {text[:60]!r} does not look like English.",
                      "The model's text encoder reads English only: translate it, or leave it out to take the "
                      "operation's own.")

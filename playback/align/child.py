"""The process that finds words. Only :mod:`playback.align.process` starts it.

It reads requests from its standard input, a text and samples each, and answers each of them on its standard output. It
ends when its input does: whatever becomes of the process that has started it, that closes its end.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from typing import BinaryIO, Final

import numpy as np

from playback.align.finder import Finder
from playback.words.word import Word

REQUEST: Final = struct.Struct("<II")
"""How many bytes the text has, in UTF-8, and how many the samples have. Both follow."""
ANSWER: Final = struct.Struct("<I")
"""How many bytes of JSON follow: a list with the text, start and end of each word, or what has been raised."""


def main(arguments: Sequence[str]) -> None:
    """What the process does.

    Args:
        arguments: those of the finder, as a list in JSON.
    """
    output = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # what a library prints is no answer
    finder = Finder(*json.loads(arguments[0]))
    with open(0, "rb", closefd=False) as requests, open(output, "wb") as answers:
        while serve(finder, requests, answers):
            pass


def serve(finder: Finder, requests: BinaryIO, answers: BinaryIO) -> bool:
    """Answer the next request; False if there is none."""
    head = requests.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return False
    text_bytes, sample_bytes = REQUEST.unpack(head)
    text = requests.read(text_bytes).decode("utf-8", "surrogatepass")
    samples = requests.read(sample_bytes)
    if len(samples) < sample_bytes:
        return False
    found: list[Word] | str  # a word is a tuple
    try:
        found = list(finder.find(text, np.frombuffer(samples, np.int16)))
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    data = json.dumps(found).encode()
    try:
        answers.write(ANSWER.pack(len(data)) + data)
        answers.flush()
    except BrokenPipeError:  # whoever asked has gone
        return False
    return True

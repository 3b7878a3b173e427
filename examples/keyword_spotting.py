"""Hear ten command words in a recording, on an emulated chip: `python examples/keyword_spotting.py [FILE.wav]`.

Without a file it listens to speech that it synthesises (the `speech` extra).
"""

import sys

import numpy as np

import neuro
from neuro.keywords.audio import read_wav
from neuro.keywords.listening import listen
from neuro.keywords.spotter import shipped


def spoken() -> np.ndarray:
    """Some command words, said one after the other."""
    from neuro.keywords.speech import Synthesiser, Voice

    with Synthesiser() as synthesiser:
        words = [synthesiser.say(word, Voice(variant="f3", speed_wpm=130)) for word in ("left", "stop", "yes", "go")]
    return np.concatenate([np.pad(word, 8_000) for word in words])


audio = read_wav(sys.argv[1]) if len(sys.argv) > 1 else spoken()
heard = listen(shipped(), neuro.load_chip("loihi2"), np.array_split(audio, 10))
for word in heard.detections:
    print(f"{word.at_s:6.2f} s  {word.word}  ({100 * word.share:.0f} %)")
account = heard.account
print(f"{account.steps} inferences, each {account.synops / account.steps:,.0f} synops", end=" and ")
print(f"{account.dynamic_pj / account.steps / 1e6:.2f} µJ dynamic")

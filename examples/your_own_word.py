"""Train a spotter for a word of your own from synthesised voices: `python examples/your_own_word.py [WORD] [CLIPS]`."""

import sys

from neuro.keywords.making import gather, make
from neuro.keywords.training import TrainingSettings

word = sys.argv[1] if len(sys.argv) > 1 else "aloha"
shown = int(sys.argv[2]) if len(sys.argv) > 2 else 40_000

parts = gather([word], clips=min(600, max(8, shown // 64)))
made = make(parts, TrainingSettings(clips=shown), progress=lambda step, of, loss: print(f"\r{step} of {of}", end=""))
test = made.heard["test"]
print(f"\nOn {test.speakers} voices never heard: {100 * test.true[1]:.1f} % heard, {100 * test.false[1]:.1f} % false alarms")
made.spotter.save(f"{word}.safetensors")
print(f"neuro keywords listen --mic --spotter {word}.safetensors")

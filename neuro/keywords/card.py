"""A spotter's model card as Markdown: what it was trained on, how well it does on new speakers, its limits."""

from __future__ import annotations

from collections.abc import Iterable

from neuro.keywords.making import TrainedSpotter


def model_card(made: TrainedSpotter, title: str, how: str) -> str:
    """The card of a finished spotter, from its own measurements. how: the command that made it."""
    spotter, card, test = made.spotter, made.spotter.card, made.heard["test"]
    parts = (
        (part, str(h.speakers), str(h.clips), _percent(h.accuracy_ann), _percent(h.accuracy_spikes))
        for part, h in made.heard.items()
    )
    right = test.confusion.diagonal() / test.confusion.sum(axis=1).clip(1)
    words = ((word, _percent(float(share))) for word, share in zip(spotter.classes, right, strict=True))
    blocks = (
        f"# Model card: {title}",
        f"Classes: {', '.join(spotter.classes)}. A {card['model']} network of {spotter.graph.parameters:,} parameters, converted "
        f"with code {card['code']!r} to 8-bit weights; float graph and spiking network lie in one file. Made by `{how}`.",
        f"**Data.** {card['data']}. Trained on {card['train_clips']:,} clips of {card['train_speakers']} speakers; nobody in the "
        "other parts was among them.",
        *(
            f"**{name.capitalize()}.** {card[name]}."
            for name in ("augmentation", "licence", "attribution", "limits")
            if name in card
        ),
        "**Accuracy by speaker split**, clips of one second:",
        _table(("part", "speakers", "clips", "float network", "spikes"), parts),
        f"At the threshold {spotter.threshold:.2f}, {_percent(test.true[1])} of the test part's keywords are heard and "
        f"{_percent(test.false[1])} of its other clips are taken for one. By class, without a threshold:",
        _table(("said", "heard right"), words),
    )
    return "\n\n".join(blocks) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"

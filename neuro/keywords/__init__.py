"""Keyword spotting: corpus, features, models, listening. Choose a word, detect it on the chip, see the energy."""

"""Keyword spotting: corpus, features, models, listening. Choose a word, hear it on the chip, know the joules."""

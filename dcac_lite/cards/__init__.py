"""The cards of the embedded data and weights (`data_cards/lite-*.md`): what follows from code is written by code."""

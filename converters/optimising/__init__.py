"""Float networks made smaller and sparser: channels and weights removed, trained again through the code's own rounding."""

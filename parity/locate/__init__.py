"""Where does a difference start? Layer by layer, each part fed the reference's values."""

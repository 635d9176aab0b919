"""What a run is, as plain data that needs neither Keras nor TensorFlow: recipes and what a search may vary."""

from keras_pdecnn.recipes.recipe import ARCHITECTURES, DTYPES, LOSSES, RECIPES, Recipe, for_source

__all__ = ["ARCHITECTURES", "DTYPES", "LOSSES", "RECIPES", "Recipe", "for_source"]

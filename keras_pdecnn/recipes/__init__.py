"""What a run is, as plain data that needs neither Keras nor TensorFlow: recipes and what a search may vary."""

from keras_pdecnn.recipes.recipe import DTYPES, LOSSES, RECIPES, Recipe, check_loss, for_source

__all__ = ["DTYPES", "LOSSES", "RECIPES", "Recipe", "check_loss", "for_source"]

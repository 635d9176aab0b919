"""What a run is, as plain data that needs neither Keras nor TensorFlow: recipes and what a search may vary."""

from keras_pdecnn.recipes.checks import LOSSES, MARGIN_LOSSES, check_loss
from keras_pdecnn.recipes.choice import for_source
from keras_pdecnn.recipes.named import RECIPES
from keras_pdecnn.recipes.recipe import DTYPES, Recipe

__all__ = ["DTYPES", "LOSSES", "MARGIN_LOSSES", "RECIPES", "Recipe", "check_loss", "for_source"]

# %% [markdown]
# # Search depth, width and step size
# Keras Tuner tries networks on the digits. The folder of the search keeps every trial: started again, the search goes
# on where it was.

# %%
import keras_pdecnn as pde

import matplotlib.pyplot as plt

TRIALS = 4
EPOCHS = 4
FOLDER = "search"

hypermodel = pde.tuning.PDEHyperModel(
    pde.recipes.Recipe(), steps=(1, 4), width=[8, 16], step_size=(0.2, 2.0), epochs=EPOCHS, validation=0.25
)
tuner = pde.tuning.search(hypermodel, FOLDER, method="random", trials=TRIALS, verbose=0)

# %%
trials = tuner.oracle.get_best_trials(TRIALS)
for trial in trials:
    print(f"{100 * trial.score:.1f} %: {trial.hyperparameters.values}")
best = hypermodel.recipe(trials[0].hyperparameters)
print("Train the best by its whole recipe: pde.training.run(best, 'runs/best')")

# %%
recipes = [hypermodel.recipe(trial.hyperparameters) for trial in trials]
weights = [pde.tuning.count_weights(recipe, (8, 8, 1), 10) for recipe in recipes]
plt.scatter(weights, [trial.score for trial in trials])
for recipe, x, trial in zip(recipes, weights, trials, strict=True):
    plt.annotate(f" {recipe.steps} steps of {recipe.step_size:.1f}", (x, trial.score))
plt.margins(x=0.4)
plt.xlabel("weights")
plt.ylabel("validation accuracy")
plt.savefig("search.png")

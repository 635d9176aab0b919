"""Search depth, width and step size, every trial on all GPUs of this machine.

python examples/search_mirrored.py

Without a GPU it runs on the processor, as one replica. The search is in FOLDER: started again it goes on where it was.
"""

import keras_pdecnn as pde
from keras_pdecnn.recipes import Recipe

DATA = "digits"
FOLDER = "searches/digits-mirrored"
TRIALS = 12
EPOCHS = 8  # of a trial
STEPS = (1, 6)
STEP_SIZE = (0.1, 2.0)
WIDTHS = [8, 16, 24]


def main():
    """Search, print the trials from the best to the worst, and the recipe of the best."""
    strategy = pde.distribute.strategy("mirrored")
    # Every batch must divide by the number of replicas.
    recipe = Recipe(batch_size=32 * strategy.num_replicas_in_sync, drop_remainder=True)
    hypermodel = pde.tuning.PDEHyperModel(
        recipe,
        steps=STEPS,
        step_size=STEP_SIZE,
        width=WIDTHS,
        epochs=EPOCHS,
        validation=0.25,
    )
    tuner = pde.tuning.search(hypermodel, FOLDER, method="bayesian", trials=TRIALS, strategy=strategy, verbose=0)
    for trial in tuner.oracle.get_best_trials(TRIALS):
        print(f"{100 * trial.score:6.2f} %  {trial.hyperparameters.values}")
    best = hypermodel.recipe(tuner.get_best_hyperparameters()[0])
    print(f"The best: {best}")
    print("Train it by its whole recipe: pde.training.run(best, 'runs/best')")


if __name__ == "__main__":
    main()

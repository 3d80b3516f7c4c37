"""A few labels: name the classes, improve them, and ask which images to label next.

Thirty of scikit-learn's handwritten digits get a label, three of each. Then the classifier is asked
for the images whose labels would help most, and gets these.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from skscan import SCANClassifier


def main() -> None:
    """Compare with a classifier that sees the labelled digits alone, and suggest more labels."""
    X, digits = load_digits(return_X_y=True)
    names = np.array([f"digit {i}" for i in range(10)], dtype=object)[digits]
    rng = np.random.RandomState(0)
    labelled = np.concatenate(
        [rng.choice(np.flatnonzero(digits == c), 3, replace=False) for c in range(10)]
    )

    # -1 is unknown, as in sklearn.semi_supervised.
    y = np.full(len(names), -1, dtype=object)
    y[labelled] = names[labelled]
    unlabelled = y == -1

    alone = LogisticRegression(C=0.01, max_iter=1000).fit(X[labelled], names[labelled])
    model = SCANClassifier(random_state=0).fit(X, y)
    print(f"LogisticRegression on 30 labels  {alone.score(X[unlabelled], names[unlabelled]):.3f}")
    print(f"SCANClassifier on the same       {model.score(X[unlabelled], names[unlabelled]):.3f}")

    # Which images to label next? Somebody looks at them, and the model is fitted again.
    wanted = model.suggest(20)
    y[wanted] = names[wanted]
    model = SCANClassifier(random_state=0).fit(X, y)
    rest = y == -1
    print(f"with 20 suggested labels more    {model.score(X[rest], names[rest]):.3f}")

    # Pairs say less than labels, and are easier to give. Both are kept to.
    first, second = np.flatnonzero(digits == 8)[:2], np.flatnonzero(digits == 9)[:2]
    model.fit(X, y, must_link=[first], cannot_link=[(first[0], second[0])])
    print(f"pair that belongs together: {model.labels_[first].tolist()}")
    print(f"pair that does not: {model.labels_[[first[0], second[0]]].tolist()}")


if __name__ == "__main__":
    main()

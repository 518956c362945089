"""What a network looks at: its class maps on a picture, whose mean is the score.

result.py      scores and class maps to an explanation, with the identity checked, as pure data
explaining.py  pictures through a model that returns its class maps
drawing.py     an explanation as a picture
wrong_pictures.py  the contact sheet of an evaluation's mistakes, with maps
examples.py    pictures of a run that are explained in its report
"""

from nin_spec.explanation.explaining import explain as explain
from nin_spec.explanation.explaining import open_model as open_model
from nin_spec.explanation.result import Explanation as Explanation
from nin_spec.explanation.result import Explanations as Explanations

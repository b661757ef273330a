"""Why a lesson cannot be drawn; each message names the part of the scene and what to do."""


class LessonError(ValueError):
    """Something in the script cannot be drawn."""


class SceneDoesNotFit(LessonError):
    """Text or a drawing is too large for the frame even at the smallest readable size."""


class BadEquation(LessonError):
    """A term of an equation is not mathematics that this typesetter knows."""


class BadFunction(LessonError):
    """A function to plot cannot be read, or is nowhere defined in the range."""


class BadDiagram(LessonError):
    """An edge names a node that is not there, or an id is used twice."""


class MissingImage(LessonError):
    """A picture scene names an image that was not given."""


class UnsupportedCharacters(LessonError):
    """No shipped font has some of the characters."""

"""Errors of lesson scenes; each message names the part of the scene and a remedy."""


class LessonError(ValueError):
    """The script contains something that cannot be drawn."""


class SceneDoesNotFit(LessonError):
    """Text or a drawing exceeds the frame even at the smallest readable size."""


class BadEquation(LessonError):
    """A term of an equation is not supported mathematics."""


class BadFunction(LessonError):
    """A function cannot be parsed, or is undefined in the whole range."""


class BadDiagram(LessonError):
    """An edge names a missing node, or an id is used twice."""


class MissingImage(LessonError):
    """A picture scene names an image that the request does not contain."""

"""The codes of single fields in ``errors`` of a problem document, and when each is sent."""

from __future__ import annotations

# Beside those of pydantic (https://errors.pydantic.dev).
FIELD_CODES: dict[str, str] = {
    "conflicting_fields": "fields that exclude each other are given, or one of several is missing",
    "consent_missing": "pictures of a person need `consent: true`",
    "duplicate": "the list names an item twice",
    "invalid_period": "`from` and `to` are in the wrong order, or too far apart",
    "invalid_url": "the address is not one of http(s), or webhooks cannot be sent to it",
    "json_too_complex": "the JSON has more than 100,000 values, or more than 64 levels",
    "lesson_input": "the lesson cannot be made as given; `msg` says why",
    "metadata_too_large": "`metadata` has too many keys, or is too long",
    "no_extension": "`extend` names no side on which the picture grows",
    "no_scenes": "the film of this generator has no scenes to make anew",
    "not_supported": "the installed models cannot follow the field; `msg` says why",
    "not_found": "the resource does not exist, belongs to somebody else, or is of another kind",
    "out_of_range": "the number is not within its bounds",
    "past": "the time is not in the future",
    "story_input": "the story cannot be made as given; `msg` says why",
    "repeated_parameter": "the query names a parameter twice",
    "too_many_keys": "the body has more than 64 keys",
    "unknown_parameter": "the call has no such query parameter; `msg` lists those it has",
    "unknown_plan": "there is no plan of this name",
    "unreadable": "the body is not UTF-8",
    "unreadable_file": "the file has no known format",
    "unreadable_data": "the data URI is malformed; `msg` says where",
    "unreadable_speech": "no voice can read the text in that language; `msg` says what to write",
    "unstorable_text": "the text holds NUL or half a surrogate pair",
}

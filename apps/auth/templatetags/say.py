"""`{% say t.<area>.<key> name=value %}`: a message of the catalogue with its places filled in. What is filled in is escaped."""

from django import template

register = template.Library()


@register.simple_tag
def say(message: str, **values: object) -> str:
    return message.format(**values)

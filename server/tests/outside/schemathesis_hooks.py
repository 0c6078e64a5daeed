"""What a schema cannot say to schemathesis of `POST /upload`."""
import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.generation.meta import ComponentInfo
from schemathesis.transport.serialization import Binary

SIZES = {"docs_field": "x-docs-filesize", "msa_imgs": "x-image-filesize"}
# A file begins as its field's types do; what follows is schemathesis's.
BEGINNINGS = {
    "docs_field": b"%PDF-1.4\n",
    "msa_imgs": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU",
}


def content(value):
    """The bytes of a file, or None."""
    data = getattr(value, "data", value)
    return data if isinstance(data, bytes) else None


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.label != "POST /upload" or not isinstance(case.body, dict):
        return
    # Cases share both.
    headers, body = case.headers.copy(), dict(case.body)
    files = [field for field in SIZES if field in body]
    wrong = {place for place, component in case.meta.components.items() if component.mode.is_negative}
    if case.meta.generation.mode.is_positive and not wrong:
        for field, header in SIZES.items():
            is_declared = headers.pop(header, None) is not None
            if field in files:
                body[field] = Binary(BEGINNINGS[field] + (content(body[field]) or b""))
                if is_declared:
                    headers[header] = str(len(content(body[field])))
        case.headers, case.body = headers, body
        # It judges the change anew, and takes a Binary for an empty text.
        for component in case.meta.components:
            case.meta.components[component] = ComponentInfo(mode=GenerationMode.POSITIVE)
        case.meta.generation.mode = GenerationMode.POSITIVE
    # Where schemathesis breaks one of the schema's alternatives, the other may hold: then nothing would be wrong.
    elif ParameterLocation.BODY in wrong and all(content(body[field]) for field in files):
        case.body = {field: value for field, value in body.items() if field not in files}

"""The rules that clients are held to: what each says, where it comes from, and how to fix what breaks it.

A *violation* is what the real service refuses; its rule has the name of the error, and its source stands in the error table.
A *warning* is what works here and is undocumented, deprecated or fragile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from flow_service_emulator.errors import ErrorTable
from flow_service_emulator.reports.words import Severity

INJECTED: Final = "injected fault"
"""How `appliesTo` begins for errors that only occur where a test asks for them."""


class Rule(NamedTuple):
    """One rule. `code` and `status` are those of the error that the service answers, where there is one."""

    id: str
    severity: Severity
    title: str
    source: str
    fix: str
    code: str = ""
    status: int | None = None


NOT_THE_CLIENTS: Final = frozenset(
    {
        "internal-error",
        "store-unavailable",
        "exports-unremoved",
        "server-ending",
        "snapshot-too-large",
        "control-invalid",
        "control-not-found",
        "control-conflict",
        "control-unavailable",
        "host-not-allowed",
    }
)
"""Errors that say nothing about how a client uses the service."""

IF_MATCH_FORM: Final = "if-match-form"
ETAG_NOT_LATEST: Final = "etag-not-latest"
TOKEN_EXPIRED: Final = "token-expired"
UNSUPPORTED: Final = "unsupported"

_TUTORIAL: Final = 'Tutorial "Export datasets using the Flow Service API"'
_API: Final = "API reference, Flow Service API - Destinations"
_HEADERS: Final = "Platform troubleshooting guide, request headers"
_SANDBOXES: Final = "Sandbox UI guide, and the API reference (an all-lowercase name); what the service answers to another is not published"
_ORGS: Final = "Ids in the API reference, Flow Service API - Destinations; that no others exist is not published"
_LISTS: Final = "Sorting and filtering responses in the Flow Service API"
_UPDATE: Final = "Update destination dataflows using the Flow Service API"

ERRORS: Final[Mapping[str, tuple[str, str]]] = {
    "provider-rejected": (
        "A body that does not fit the schema of its spec",
        "Send what the spec's own schema asks for; GET /connectionSpecs/{id} shows it, and each finding here names the field.",
    ),
    "limit-with-count": (
        "limit together with count=true",
        "Ask for the count alone, and for a page in another request.",
    ),
    "if-match-missing": (
        "PATCH without If-Match",
        "Look the entity up and send its etag, double quotes included, as If-Match.",
    ),
    "body-empty": ("A request without its body", "Send the JSON body that the call documents."),
    "state-in-create": (
        "state in a new flow",
        "Leave state out; disable the flow afterwards with POST /flows/{id}/action?op=disable.",
    ),
    "spec-id-invalid": (
        "A spec that does not exist, or not in that version",
        'Take id and version from GET /connectionSpecs or GET /flowSpecs as they are: both are texts, so the version is "1.0".',
    ),
    "spec-version-missing": (
        "A spec without its version",
        'Send the version beside the id: {"id": "...", "version": "1.0"}.',
    ),
    "connection-spec-immutable": ("Changing a connection's spec", "Create a new base connection with the other spec."),
    "auth-spec-not-found": (
        "A kind of credentials that the spec does not have",
        "Use one of the names in the connection spec's authSpec.",
    ),
    "base-connection-in-use": (
        "Deleting a base connection that a flow uses",
        "Delete the flows first, then the connections.",
    ),
    "action-not-applicable": (
        "An action that does not fit the flow's state",
        "Look at the flow's state first; enable what is disabled and the other way round.",
    ),
    "run-flow-not-found": (
        "A run of a flow that does not exist",
        "Use the id that POST /flows answered, in the same organization and sandbox.",
    ),
    "sort-order-invalid": (
        "orderby with a sign that is none",
        "Put + or - (or nothing) before each field's name, and send + as %2B.",
    ),
    "orderby-field-invalid": ("orderby over a field that does not exist", "Order by one of the entity's own fields."),
    "operation-unsupported": (
        "An operation that does not exist",
        "In a patch use add, replace or remove; as an action use enable or disable.",
    ),
    "sub-action-unsupported": ("A sub action that does not exist", "Leave subOp out."),
    "resource-not-found": (
        "An entity that is not there",
        "Use the id that the creation answered, in the same organization and sandbox, and forget it once it is deleted.",
    ),
    "filter-operator-not-implemented": (
        "A filter operator that the service does not have",
        "Use ==, !=, <, >, <= or >=.",
    ),
    "filter-operator-single-value": (
        "Several values for an operator that takes one",
        "Send one value, or use == or != with several.",
    ),
    "flow-id-empty": ("A run without its flow", 'Send {"flowId": "<id of the flow>"}.'),
    "in-active-flow": ("Deleting a connection that an active flow uses", "Disable or delete the flow first."),
    "filter-operator-unsupported-for-field": (
        "A filter operator that does not suit the field",
        "Compare texts and flags with == or != only, and reach into objects and arrays.",
    ),
    "filter-field-invalid": (
        "A filter on a field that does not exist",
        "Filter on the entity's own fields, spelt as look-ups show them; [] reaches into an array.",
    ),
    "filter-operator-invalid": (
        "A filter with a wrong operator",
        "Use ==, !=, <, >, <= or >=; a value that begins with such a character goes into double quotes.",
    ),
    "query-param-unknown": (
        "A query parameter that the call does not have",
        "Leave it out, or spell it as documented; letter case counts.",
    ),
    "value-invalid": (
        "A query parameter with a value that it cannot have",
        "Send one of the values that are allowed, or one in the range; the finding says which.",
    ),
    "query-value-invalid": (
        "A query parameter that cannot be read",
        "Send path, operator and value without gaps, and percent-encode them.",
    ),
    "patch-invalid": (
        "A patch that cannot be applied",
        "Patch only what a client may change, at paths that exist; the finding names the operation.",
    ),
    "state-invalid": ("A state that does not exist", "Use enabled or disabled."),
    "org-no-access": (
        "An organization that the token has no access to",
        "Send the x-gw-ims-org-id of the organization that the credentials belong to.",
    ),
    "org-header-empty": ("An empty x-gw-ims-org-id", "Send the organization's id; it ends in @AdobeOrg."),
    "sandbox-not-found": (
        "A sandbox that does not exist",
        "Send the sandbox's name (not its title) as x-sandbox-name.",
    ),
    "token-empty": (
        "Authorization without a token",
        "Send Authorization: Bearer <token>; an empty variable is the usual reason.",
    ),
    "token-invalid": ("Authorization that is no bearer token", "Send Authorization: Bearer <token>."),
    "gateway-token-missing": ("No Authorization header", "Send Authorization: Bearer <token> with every request."),
    "gateway-token-not-valid": (
        "A token that was never valid",
        "Get a token from the token endpoint with your client id and secret.",
    ),
    "gateway-api-key-missing": ("No x-api-key header", "Send the client id as x-api-key with every request."),
    "gateway-api-key-invalid": (
        "An x-api-key that does not belong to the token",
        "Send the client id that the token was issued for.",
    ),
    "gateway-org-missing": (
        "No x-gw-ims-org-id header",
        "Send the organization's id as x-gw-ims-org-id with every request.",
    ),
    "gateway-org-not-entitled": (
        "A token of another organization",
        "Use credentials of the organization that x-gw-ims-org-id names.",
    ),
    "adhoc-invalid": (
        "An ad hoc run of what a flow does not carry",
        "Name a flow that exists, and datasets of its source connections.",
    ),
    "token-request-invalid": (
        "A token request that is not complete",
        "Send grant_type, client_id, client_secret and scope, form-encoded.",
    ),
    "token-grant-unsupported": (
        "A token request with another grant type",
        "Send grant_type=client_credentials.",
    ),
    "content-type-missing": (
        "A body without a usable Content-Type",
        "Send Content-Type: application/json with every body.",
    ),
    "body-malformed": (
        "A body that is not JSON",
        "Build bodies with a JSON library: no comments, no trailing commas, UTF-8.",
    ),
    "path-not-found": (
        "A path that the service does not have",
        "Check the base path, /data/foundation/flowservice, and the collection's spelling.",
    ),
    "method-not-allowed": (
        "A method that the path does not have",
        "Use one of the methods that the Allow header of the answer lists.",
    ),
}
"""Name of an error -> what it is about, and how to fix it. Its code, status and source stand in the error table."""

_WARNINGS: Final = (
    # what the service takes although the documentation says otherwise
    Rule("enum-letter-case", "warning", "A value in another letter case than documented", _API, "Send the value as the schema spells it, such as GZIP, PARQUET or Server-to-server."),
    Rule("patch-op-letter-case", "warning", "A patch operation in another letter case", "RFC 6902, section 4", "Send add, replace and remove in lower case."),
    Rule("numeric-string", "warning", "A number sent as a text", _TUTORIAL, "Send the number without quotes."),
    Rule("unknown-field", "warning", "A field that is not documented", _API, "Leave it out, or check its spelling: it has no effect."),
    Rule("field-without-effect", "warning", "A field that belongs to another kind of flow", "The specs' own `conditional`", "Leave it out: datasets are exported with datasetFileType and compression."),
    Rule("server-field-sent", "warning", "A field that the service fills itself", _API, "Leave it out of what you send; a copy of a look-up has to be trimmed first."),
    Rule("frequency-sent", "warning", "frequency in a dataset export's schedule", _TUTORIAL, "Send interval and timeUnit alone; frequency belongs to other kinds of flows."),
    Rule("schedule-partial", "warning", "A schedule replaced by a part of one", _UPDATE, "Replace /scheduleParams/startTime alone, or send the schedule whole."),
    Rule("connection-spec-missing", "warning", "A base connection without connectionSpec", _TUTORIAL, "Name the spec: the tutorial's request for the Data Landing Zone leaves it out, the API reference requires it."),
    Rule("json-uncompressed", "warning", "JSON without compression", "Export datasets to cloud storage destinations, later editions", "Send compression GZIP: later editions allow JSON only compressed."),
    Rule("auth-null", "warning", "auth sent as null", _API, "Leave auth out where no credentials are needed."),
    Rule("folder-template-spelling", "warning", "folderNameTemplate", "The API reference and the documentation of exports spell it differently", "Send foldernameTemplate, the spelling of the documentation of exports, and check the folders in production."),
    Rule("start-time-past", "warning", "A schedule that starts in the past", _TUTORIAL, "Start in the future: the service exports once at once and does not make up for what lies before."),
    Rule("schedule-never-runs", "warning", "A schedule that ends before it starts", _TUTORIAL, "Send endTime with a start that lies more than six months after the flow's creation."),
    Rule("configs-of-destination", "warning", "Datasets listed with a destination's spec", _TUTORIAL, "Ask /connectionSpecs/{id}/configs with the id of the data lake's spec, activation-datalake."),
    Rule("trailing-slash", "warning", "A path with a slash at its end", _API, "Leave the last slash out."),
    Rule("header-repeated", "warning", "A header sent more than once", "RFC 9110, section 5.3", "Send each header once: which of them counts, every gateway decides for itself."),
    # habits that do harm in production
    Rule("sandbox-header-missing", "warning", "No x-sandbox-name header", _HEADERS, "Always name the sandbox: without it the request goes to prod."),
    Rule("org-id-form", "warning", "An organization id of another form", _ORGS, "Send the id of the organization, which ends in @AdobeOrg, not its name."),
    Rule("sandbox-name-form", "warning", "A sandbox name of another form", _SANDBOXES, "Send the sandbox's name, which has lower-case letters, digits and hyphens only, not its title."),
    Rule(ETAG_NOT_LATEST, "warning", "An etag that was not the latest", "Flow Service error messages, 1404-412", "Look the entity up again, apply the change to what it is now, and send the new etag.", "1404-412", 412),
    Rule("etag-old", "warning", "An etag that was read long before it was used", _API, "Look the entity up right before you change it, so that another's change is not met with a 412."),
    Rule("polling", "warning", "The same question more often than once a minute", "Advice of the emulator; Platform troubleshooting guide, 429050", "Wait a minute or more before you ask the same again; exports take hours, and the gateway counts requests."),
    Rule("page-not-followed", "warning", "A further page that was never fetched", _LISTS, "Go on with continuationToken (or start) until no next page is announced, or ask for what you need with a filter."),
    Rule(TOKEN_EXPIRED, "warning", "A token that had expired", _HEADERS, "Get a new token before expires_in has passed; where tokens are checked the answer is 401013.", "401013", 401),
    Rule("token-near-expiry", "warning", "A token in its last five minutes", _HEADERS, "Renew a token some minutes before it expires, so that no request fails on the way."),
    # where the emulator cannot tell
    Rule(UNSUPPORTED, "warning", "A call that the emulator does not have", "The real service has it; the emulator answers 501", "Test this call against the real service."),
    Rule("content-encoding-unsupported", "warning", "A body that is packed", "Whether the real service unpacks bodies is not published", "Send bodies as they are, without Content-Encoding.", "", 415),
    Rule("body-too-large", "warning", "A body over the emulator's limit", "The real service's own limit is not published", "Send less in one request.", "", 413),
)  # fmt: skip

_FORM: Final = Rule(
    IF_MATCH_FORM,
    "violation",
    "An If-Match that is not one etag in its double quotes",
    "Flow Service error messages, 1404-412",
    'Send the etag exactly as it was answered, double quotes included; "*", lists and weak etags are not known here.',
    "1404-412",
    412,
)


def contract_rules(errors: ErrorTable) -> dict[str, Rule]:
    """Every rule by its id: those of the error table's rows first, in the table's order, then the warnings.

    Raises KeyError for an error that is a client's doing and of which nothing says how to fix it.
    """
    warnings = {rule.id: rule for rule in _WARNINGS}
    rules: dict[str, Rule] = {}
    for kind in errors.kinds.values():
        if kind.name == "version-mismatch":
            rules[_FORM.id] = _FORM  # a stale etag, the other reason for this error, is a warning
        elif (
            kind.name not in warnings and kind.name not in NOT_THE_CLIENTS and not kind.applies_to.startswith(INJECTED)
        ):
            title, fix = ERRORS[kind.name]
            rules[kind.name] = Rule(kind.name, "violation", title, kind.source, fix, kind.code, kind.status)
    return rules | warnings

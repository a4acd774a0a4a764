"""Conventions: the names of all that telemetry says, in one place.

Messaging and GenAI names are OpenTelemetry's semantic conventions. The GenAI ones are still in development and no released package holds
them: when they change, they change here. What has no convention yet is named `stretto.…`.
"""

from typing import Final

# Of every span and metric that fails

ERROR_TYPE: Final = "error.type"

# Messaging: https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_CONVERSATION_ID: Final = "messaging.message.conversation_id"
"""What correlates messages: the run. A conversation of runs is `GEN_AI_CONVERSATION_ID`."""
MESSAGING_CONSUMER_GROUP: Final = "messaging.consumer.group.name"
MESSAGING_STREAM: Final = "messaging.nats.stream"
MESSAGING_SEQUENCE: Final = "messaging.nats.stream_sequence"
MESSAGING_DELIVERY: Final = "messaging.nats.delivery_attempt"
"""How often the server delivered the message by then, this time included."""

# GenAI: https://github.com/open-telemetry/semantic-conventions-genai

GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
GEN_AI_AGENT_ID: Final = "gen_ai.agent.id"
GEN_AI_WORKFLOW_NAME: Final = "gen_ai.workflow.name"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
SESSION_ID: Final = "session.id"
"""As `GEN_AI_CONVERSATION_ID`: viewers group by one or the other."""
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_OUTPUT_TYPE: Final = "gen_ai.output.type"
GEN_AI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
"""Cached ones included."""
GEN_AI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 (an attribute's name, not a secret)
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_TYPE: Final = "gen_ai.tool.type"
GEN_AI_TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
GEN_AI_TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_RESULT: Final = "gen_ai.tool.call.result"
GEN_AI_MEMORY_STORE: Final = "gen_ai.memory.store.id"
RECORDS: Final = "gen_ai.memory.record.count"
"""How many records a call of memory gave or took."""
GEN_AI_MEMORY_QUERY: Final = "gen_ai.memory.query.text"
GEN_AI_DETAILS: Final = "gen_ai.client.inference.operation.details"
"""Event of a model call, with what was asked and answered."""
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
GEN_AI_SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

# Ours

TENANT: Final = "stretto.tenant"
RUN: Final = "stretto.run"
TASK: Final = "stretto.task"
ROLE: Final = "stretto.role"
ATTEMPT: Final = "stretto.attempt"
RUN_STATE: Final = "stretto.run.state"
COST_USD: Final = "stretto.cost_usd"
MODEL_CALLS: Final = "stretto.model_calls"
TOOL_CALLS: Final = "stretto.tool_calls"
ENDED: Final = "stretto.ended"
"""How an agent's work ended where it neither succeeded nor failed: `parked`, `superseded`, `withdrawn`, `shut_down`."""
OUTCOME: Final = "stretto.outcome"
"""How a question to a person was settled."""
QUESTION: Final = "stretto.question"
REPLAYED_STEPS: Final = "replayed_steps"
"""Event of an agent's work, and its attribute: so many steps were answered from the journal."""
FALLBACK: Final = "fallback"
"""Event of an agent's work: a model was passed over; with `FALLBACK_MODEL` and `FALLBACK_REASON`."""
FALLBACK_MODEL: Final = "stretto.fallback.model"
FALLBACK_REASON: Final = "stretto.fallback.reason"
RATE_LIMITED: Final = "rate_limited"
"""Event of whoever had to wait for a provider's shared rate limit, when the wait is over; with `RATE_LIMITED_S`."""
RATE_LIMITED_S: Final = "stretto.rate_limited_s"
FROM_LOG: Final = "stretto.from_log"
"""Of spans that were made from a run's log, because those that were told at the time are missing."""
LINK: Final = "stretto.link"
"""Of a link: `caller`, what asked for the run, in the host application's own trace; `resume`, the work that a resumed task goes on from."""

# Of metrics alone

QUEUE_STATE: Final = "stretto.queue.state"
"""`waiting`, `in_work` or `suspect`."""
ACCOUNT: Final = "stretto.account"
"""Whose budget it is: `run`, or the tenant's `day` or `month`."""
UNIT: Final = "stretto.unit"
"""What a budget counts: `nanos` (billionths of a US dollar), `tokens`, `model_calls` or `tool_calls`."""

# Of telemetry itself

SPANS_DROPPED: Final = "stretto.spans.dropped"
"""Counter: spans that could not be handed on, by `EXPORTER`."""
EXPORTER: Final = "stretto.exporter"
"""Where spans were to go: `bus`, `otlp` or `console`."""

//! The AsyncAPI 3.0 document: exchanges, queues, headers and messages, from the view of those who
//! talk to the daemon. Source: AsyncAPI 3.0.0, and its AMQP bindings 0.3.0.

mod messages;

use crate::adapters::rabbitmq::outline::{Argument, Outline};
use crate::app::contract::event;
use crate::app::contract::job;
use crate::app::contract::node::{Node, object, words};
use crate::domain::job::Kind;

/// The version of the AMQP bindings.
const BINDINGS: &str = "0.3.0";

/// The version of the contract, which is not the daemon's; docs/contract.md tells what changes it.
const VERSION: &str = "1.0.0";

const ABOUT: &str = "What services exchange with hongbaod over RabbitMQ. The operations are yours: `send` is what a \
producer publishes, `receive` what a subscriber or an operator consumes. The daemon does the opposite, and declares \
every exchange and queue that is named here; `x-hongbao-topology` lists their arguments.";

/// The document.
pub(super) fn document(outline: &Outline) -> Node {
    object! {
        "asyncapi" => "3.0.0",
        "id" => "urn:hongbao:v1",
        "info" => object! {
            "title" => "hongbaod",
            "version" => VERSION,
            "description" => ABOUT,
            "license" => object! { "name" => env!("CARGO_PKG_LICENSE") },
            "tags" => vec![
                tag("producer", "Services that send jobs."),
                tag("subscriber", "Services that listen to outcomes."),
                tag("operator", "People and tools that look after what cannot go on by itself."),
            ],
        },
        "defaultContentType" => "application/json",
        "servers" => servers(),
        "channels" => channels(outline),
        "operations" => operations(),
        "components" => object! { "messages" => messages::all(), "schemas" => schemas() },
        "x-hongbao-topology" => topology(outline),
    }
}

fn tag(name: &str, description: &str) -> Node {
    object! { "name" => name, "description" => description }
}

fn servers() -> Node {
    let server = |protocol: &str, port: u64, description: &str| {
        object! {
            "host" => "{host}:{port}",
            "pathname" => "/{vhost}",
            "protocol" => protocol,
            "protocolVersion" => "0.9.1",
            "description" => description,
            "variables" => object! {
                "host" => object! { "default" => "rabbitmq", "description" => "A node of the cluster." },
                "port" => object! { "default" => port.to_string() },
                "vhost" => object! { "default" => "%2F", "description" => "Percent-encoded." },
            },
            "security" => vec![object! { "type" => "userPassword" }],
        }
    };
    object! {
        "tls" => server("amqps", 5671, "RabbitMQ with TLS; docs/servers.md."),
        "plain" => server("amqp", 5672, "RabbitMQ in a network of your own."),
    }
}

fn channels(outline: &Outline) -> Node {
    let lanes = outline.lanes.iter().map(|(lane, _)| lane.routing_key());
    let lanes: Vec<String> = lanes.map(String::from).collect();
    let lanes = words(lanes.iter().map(String::as_str));
    let jobs = Kind::ALL.map(|kind| (kind.as_str().to_owned(), message_ref(kind.as_str())));
    object! {
        "jobs" => object! {
            "address" => "{lane}",
            "title" => "Jobs",
            "description" => "The routing key is the job's lane: its kind, or `disburse.urgent` and the like; docs/lanes.md.",
            "parameters" => object! { "lane" => object! {
                "description" => "A queue of jobs of one kind.",
                "enum" => lanes,
                "examples" => words([Kind::Disburse.as_str()]),
            } },
            "messages" => Node::Object(jobs.into()),
            "bindings" => exchange(&outline.jobs, outline),
        },
        "outcomes" => object! {
            "address" => "{kind}.{result}",
            "title" => "Outcome events",
            "description" => "Bind a durable queue of your own: `#` for all events, `disburse.*` for a kind, `*.failed` for a result.",
            "parameters" => object! {
                "kind" => object! { "description" => "The job's kind, or `budget`." },
                "result" => object! { "description" => format!("Known pairs: {}.", event::routing_keys().join(", ")) },
            },
            "messages" => object! { "event" => message_ref("event") },
            "bindings" => exchange(&outline.outcomes, outline),
        },
        "replies" => object! {
            "address" => Node::Json(serde_json::Value::Null),
            "title" => "Copies to reply_to",
            "description" => "The queue that the job's property `reply_to` names, by the default exchange. RabbitMQ's direct reply-to works too.",
            "messages" => object! { "reply" => message_ref("reply") },
        },
        "unrouted" => object! {
            "address" => outline.unrouted.as_str(),
            "title" => "Events that no queue is bound for",
            "description" => "The newest ones; older ones are dropped. Look into it when a subscriber was bound too late.",
            "messages" => object! { "event" => message_ref("event") },
            "bindings" => queue(&outline.unrouted),
        },
        "dead" => object! {
            "address" => outline.dead.as_str(),
            "title" => "Dead letters",
            "description" => "What cannot go on by itself, with its reason; `hongbaod dead` shows and replays it.",
            "messages" => object! { "dead" => message_ref("dead") },
            "bindings" => queue(&outline.dead),
        },
    }
}

fn message_ref(name: &str) -> Node {
    object! { "$ref" => format!("#/components/messages/{name}") }
}

fn exchange(name: &str, outline: &Outline) -> Node {
    let mut exchanges = outline.exchanges.iter();
    let kind = exchanges.find(|exchange| exchange.name == name);
    object! { "amqp" => object! {
        "is" => "routingKey",
        "exchange" => object! {
            "name" => name,
            "type" => kind.map_or("", |exchange| exchange.kind.as_str()),
            "durable" => true,
            "autoDelete" => false,
        },
        "bindingVersion" => BINDINGS,
    } }
}

fn queue(name: &str) -> Node {
    object! { "amqp" => object! {
        "is" => "queue",
        "queue" => object! { "name" => name, "durable" => true, "exclusive" => false, "autoDelete" => false },
        "bindingVersion" => BINDINGS,
    } }
}

fn operations() -> Node {
    let reply = object! {
        "address" => object! {
            "location" => "$message.header#/reply_to",
            "description" => "The property reply_to, if there is one.",
        },
        "channel" => object! { "$ref" => "#/channels/replies" },
    };
    object! {
        "publishJob" => operation("send", "jobs", "producer", "Publish a job, with publisher confirms: the promises begin with the confirm.")
            .with("bindings", published())
            .with("reply", reply),
        "receiveOutcome" => operation("receive", "outcomes", "subscriber", "Learn what became of every job. At least once: tell copies apart by `id`.")
            .with("bindings", acknowledged()),
        "receiveReply" => operation("receive", "replies", "producer", "Learn what became of the jobs that name a queue of yours.")
            .with("bindings", acknowledged()),
        "receiveUnrouted" => operation("receive", "unrouted", "operator", "See the events that nobody listened to.")
            .with("bindings", acknowledged()),
        "receiveDeadLetter" => operation("receive", "dead", "operator", "See what needs somebody, and why.")
            .with("bindings", acknowledged()),
    }
}

fn operation(action: &str, channel: &str, role: &str, summary: &str) -> Node {
    object! {
        "action" => action,
        "channel" => object! { "$ref" => format!("#/channels/{channel}") },
        "summary" => summary,
        "tags" => vec![object! { "name" => role }],
    }
}

fn published() -> Node {
    object! { "amqp" => object! {
        "deliveryMode" => 2_u64,
        "mandatory" => true,
        "timestamp" => true,
        "bindingVersion" => BINDINGS,
    } }
}

fn acknowledged() -> Node {
    object! { "amqp" => object! { "ack" => true, "bindingVersion" => BINDINGS } }
}

fn schemas() -> Node {
    let jobs = Kind::ALL.map(|kind| (kind.as_str().to_owned(), job::of_kind(kind)));
    let events = event::parts("#/components/schemas/");
    Node::Object(jobs.into_iter().chain(events).collect())
}

/// What the bindings have no place for: the arguments of everything that is declared.
fn topology(outline: &Outline) -> Node {
    let exchanges = outline.exchanges.iter().map(|exchange| {
        object! {
            "name" => exchange.name.as_str(),
            "type" => exchange.kind.as_str(),
            "arguments" => arguments(&exchange.arguments),
        }
    });
    let queues = outline.queues.iter().map(|queue| {
        object! {
            "name" => queue.name.as_str(),
            "exchange" => queue.exchange.as_str(),
            "routing_key" => queue.routing_key.as_str(),
            "arguments" => arguments(&queue.arguments),
        }
    });
    object! {
        "description" => "All are durable. Those behind `retry` are the daemon's own: nobody else publishes to them or consumes from them.",
        "exchanges" => exchanges.collect::<Vec<Node>>(),
        "queues" => queues.collect::<Vec<Node>>(),
    }
}

fn arguments(arguments: &[(String, Argument)]) -> Node {
    let arguments = arguments.iter().map(|(name, value)| {
        let value = match value {
            Argument::Text(text) => Node::from(text.as_str()),
            Argument::Number(number) => Node::from(*number),
        };
        (name.clone(), value)
    });
    Node::Object(arguments.collect())
}

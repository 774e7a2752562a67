//! The JSON Schema of jobs, from [`Field`], [`Kind`] and the limits of the domain.

mod wording;

use crate::app::contract::DIALECT;
use crate::app::contract::job::wording::{description, title};
use crate::app::contract::node::{Node, Null, object, words};
use crate::app::contract::pattern;
use crate::domain::draft::{
    EXTRA_PARAM_CHARS_MAX, Field, LABEL_CHARS_MAX, LABEL_KEY_ALPHABET, LABELS_MAX,
};
use crate::domain::ident::{
    AlipayNo, AppName, Caption, LogonId, MerchantNo, PayTimeout, ReturnUrl, UserId,
};
use crate::domain::job::Kind;

pub(super) use crate::app::contract::job::wording::{example, what};

/// Fields of which a job has exactly one.
pub(super) const PAIRS: [(Field, Field); 4] = [
    (Field::DeductAuthNo, Field::DeductOutOrderNo),
    (Field::PayeeUserId, Field::PayeeLogonId),
    (Field::AuthNo, Field::OutOrderNo),
    (Field::OperationId, Field::OutRequestNo),
];

/// How a kind takes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Required,
    Optional,
    /// One of the two of [`PAIRS`].
    OneOfTwo,
    /// Only `null`, which counts as not given.
    Refused,
}

/// How a kind takes a field; a test asks the decoder whether it is so.
pub(super) fn place(kind: Kind, field: Field) -> Place {
    use Kind::{AppPay, Disburse, PagePay, Pay, Query, Refund};
    use Place::{OneOfTwo, Optional, Refused, Required};
    match (field, kind) {
        (Field::Kind, _) => Required,
        (Field::App | Field::NotAfter | Field::Labels, _) => Optional,
        (Field::OutRequestNo | Field::OutOrderNo | Field::AuthNo | Field::OperationId, Query) => {
            OneOfTwo
        }
        (Field::OutRequestNo, Disburse | Refund | Pay | AppPay | PagePay) => Required,
        (Field::OutOrderNo | Field::OrderTitle, Disburse | Pay | AppPay | PagePay) => Required,
        (Field::AuthNo | Field::Remark, Refund) => Required,
        (Field::Amount, Disburse | Refund | Pay | AppPay | PagePay) => Required,
        (Field::PayerUserId, Pay) => Required,
        (
            Field::DeductAuthNo
            | Field::DeductOutOrderNo
            | Field::PayeeUserId
            | Field::PayeeLogonId,
            Disburse,
        ) => OneOfTwo,
        (Field::PayTimeout | Field::ExtraParam, Disburse | Pay | AppPay | PagePay) => Optional,
        (Field::OrderExpiredTime, Disburse | Pay) => Optional,
        (Field::ReturnUrl, PagePay) => Optional,
        (
            Field::OutOrderNo
            | Field::AuthNo
            | Field::OperationId
            | Field::DeductAuthNo
            | Field::DeductOutOrderNo
            | Field::OrderTitle
            | Field::Amount
            | Field::PayeeUserId
            | Field::PayeeLogonId
            | Field::PayerUserId
            | Field::Remark
            | Field::PayTimeout
            | Field::ExtraParam
            | Field::OrderExpiredTime
            | Field::ReturnUrl,
            Disburse | Refund | Query | Pay | AppPay | PagePay,
        ) => Refused,
    }
}

/// The whole schema: one of the kinds.
pub(super) fn schema() -> Node {
    let kinds = Kind::ALL.map(|kind| object! { "$ref" => format!("#/$defs/{kind}") });
    let definitions = Kind::ALL.map(|kind| (kind.as_str().to_owned(), of_kind(kind)));
    object! {
        "$schema" => DIALECT,
        "$id" => "urn:hongbao:job:v1",
        "title" => "Job",
        "description" => "What is published to the exchange hongbao.jobs, one JSON object a message; docs/jobs.md. \
            A validator that knows the kind says more about a mistake with #/$defs/<kind>.",
        "type" => "object",
        "required" => words([Field::Kind.as_str()]),
        "oneOf" => kinds.to_vec(),
        "$defs" => Node::Object(definitions.into()),
    }
}

/// The schema of one kind.
pub(super) fn of_kind(kind: Kind) -> Node {
    let fields = |places: &[Place]| -> Vec<Field> {
        let mut fields = Field::ALL.to_vec();
        fields.retain(|field| places.contains(&place(kind, *field)));
        fields
    };
    let given = fields(&[Place::Required, Place::Optional, Place::OneOfTwo]);
    let properties = given
        .iter()
        .map(|field| (field.as_str().to_owned(), property(kind, *field)));
    let properties = Node::Object(properties.collect());
    let required = fields(&[Place::Required]);
    let refused: Vec<&str> = fields(&[Place::Refused])
        .into_iter()
        .map(Field::as_str)
        .collect();
    let foreign = format!("^(?:{})$", refused.join("|"));
    let mut schema = object! {
        "title" => title(kind),
        "description" => what(kind),
        "type" => "object",
        "required" => words(required.into_iter().map(Field::as_str)),
        "properties" => properties,
        "patternProperties" => object! { foreign => object! {
            "description" => "A field of other kinds; null counts as not given.",
            "type" => "null",
        } },
        "additionalProperties" => false,
    };
    let pairs: Vec<Node> = PAIRS
        .into_iter()
        .filter(|(first, _)| place(kind, *first) == Place::OneOfTwo)
        .map(exactly_one)
        .collect();
    if !pairs.is_empty() {
        schema = schema.with("allOf", pairs);
    }
    schema.with("examples", vec![Node::Json(example(kind))])
}

fn exactly_one((first, second): (Field, Field)) -> Node {
    let (first, second) = (first.as_str(), second.as_str());
    let one = |given: &str, other: &str| {
        object! {
            "required" => words([given]),
            "properties" => object! {
                given => object! { "type" => "string" },
                other => object! { "type" => "null" },
            },
        }
    };
    object! {
        "description" => format!("Exactly one of {first} and {second}."),
        "oneOf" => vec![one(first, second), one(second, first)],
    }
}

fn property(kind: Kind, field: Field) -> Node {
    let (name, limits) = match field {
        Field::Kind => {
            return object! { "description" => description(field), "const" => kind.as_str() };
        }
        Field::Labels => ("object", labels()),
        Field::App => ("string", text(AppName::LENGTH_MAX, AppName::ALPHABET)),
        Field::OutRequestNo | Field::OutOrderNo | Field::DeductOutOrderNo => {
            ("string", text(MerchantNo::LENGTH_MAX, MerchantNo::ALPHABET))
        }
        Field::AuthNo | Field::OperationId | Field::DeductAuthNo => {
            ("string", text(AlipayNo::LENGTH_MAX, AlipayNo::ALPHABET))
        }
        Field::PayeeUserId | Field::PayerUserId => {
            ("string", text(UserId::LENGTH_MAX, UserId::ALPHABET))
        }
        Field::PayeeLogonId => ("string", text(LogonId::LENGTH_MAX, LogonId::ALPHABET)),
        Field::OrderTitle | Field::Remark => ("string", line(Caption::CHARS_MAX)),
        Field::ExtraParam => {
            let json = object! { "contentMediaType" => "application/json" };
            ("string", line(EXTRA_PARAM_CHARS_MAX).and(json))
        }
        Field::Amount => (
            "string",
            object! { "pattern" => pattern::amount_with_zeros() },
        ),
        Field::PayTimeout | Field::OrderExpiredTime => {
            let length = object! { "maxLength" => PayTimeout::LENGTH_MAX };
            ("string", length.with("pattern", pattern::pay_timeout()))
        }
        Field::ReturnUrl => {
            let length = object! { "maxLength" => ReturnUrl::LENGTH_MAX };
            ("string", length.with("pattern", pattern::return_url()))
        }
        Field::NotAfter => {
            let format = object! { "format" => "date-time" };
            ("string", format.with("pattern", pattern::instant()))
        }
    };
    let null = match place(kind, field) {
        Place::Required => Null::Never,
        Place::Optional | Place::OneOfTwo | Place::Refused => Null::Allowed,
    };
    object! { "description" => description(field), "type" => null.beside(name) }.and(limits)
}

/// One character at least, all of a class.
fn text(length_max: usize, alphabet: &str) -> Node {
    object! { "maxLength" => length_max, "pattern" => pattern::of_class(alphabet) }
}

/// One character at least, no control characters.
fn line(chars_max: usize) -> Node {
    object! { "minLength" => 1_u64, "maxLength" => chars_max, "pattern" => pattern::NO_CONTROLS }
}

/// The members of what labels are, here and in events.
pub(super) fn labels() -> Node {
    object! {
        "maxProperties" => LABELS_MAX,
        "propertyNames" => text(LABEL_CHARS_MAX, LABEL_KEY_ALPHABET),
        "additionalProperties" => object! {
            "type" => "string",
            "maxLength" => LABEL_CHARS_MAX,
            "pattern" => pattern::NO_CONTROLS,
        },
    }
}

#[cfg(test)]
mod tests;

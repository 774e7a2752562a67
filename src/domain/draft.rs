//! How a job is made from named fields: every mistake is named, all of them at once.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::ident::{
    AlipayNo, AppName, Caption, IdentError, LogonId, MerchantNo, PayTimeout, ReturnUrl, UserId,
};
use crate::domain::job::{
    Cashier, Extras, Job, Kind, Labels, MoneyJob, MoneyRequest, OperationRef, OrderRef, Payee,
    QueryJob, QueryTarget,
};
use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;

/// The most labels that a job may have.
pub const LABELS_MAX: usize = 8;
/// The most characters of a label's key, and of its value.
pub const LABEL_CHARS_MAX: usize = 64;
/// The most characters of `extra_param`. Source: Alipay fund.coupon.
pub const EXTRA_PARAM_CHARS_MAX: usize = 300;

macro_rules! fields {
    ($($name:ident $word:literal,)*) => {
        /// A field of a job; the words are Alipay's own where Alipay has one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each variant is the field of the same name; docs/jobs.md describes them")]
        pub enum Field { $($name,)* }

        impl Field {
            /// Every field.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The field's name in a job body.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

fields! {
    Kind "kind",
    App "app",
    OutRequestNo "out_request_no",
    OutOrderNo "out_order_no",
    AuthNo "auth_no",
    OperationId "operation_id",
    DeductAuthNo "deduct_auth_no",
    DeductOutOrderNo "deduct_out_order_no",
    OrderTitle "order_title",
    Amount "amount",
    PayeeUserId "payee_user_id",
    PayeeLogonId "payee_logon_id",
    PayerUserId "payer_user_id",
    Remark "remark",
    PayTimeout "pay_timeout",
    ExtraParam "extra_param",
    OrderExpiredTime "order_expired_time",
    ReturnUrl "return_url",
    NotAfter "not_after",
    Labels "labels",
}

impl Field {
    /// The field of a name, or `None`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|field| field.as_str() == name)
    }
}

/// One mistake in a job: which field, and what is wrong with it. Never the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name as the producer spelled it.
    pub field: String,
    /// What is wrong and what would be right, readable after "field: ".
    pub fault: String,
}

impl FieldError {
    /// A mistake in `field`.
    pub fn new(field: impl Into<String>, fault: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            fault: fault.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.fault)
    }
}

/// A job in the making: fields as texts, not yet checked.
#[derive(Clone, Default)]
pub struct JobDraft {
    /// Texts by field; [`Field::NotAfter`] and [`Field::Labels`] have their own places.
    pub values: BTreeMap<Field, String>,
    /// The labels, in any order.
    pub labels: Vec<(String, String)>,
    /// The instant after which a never-sent job is not sent.
    pub not_after: Option<UnixMillis>,
}

impl JobDraft {
    /// Makes the job, with `default_app` where it names none.
    ///
    /// # Errors
    ///
    /// Every mistake of the draft, in the order of the fields.
    pub fn build(mut self, default_app: Option<&AppName>) -> Result<Job, Vec<FieldError>> {
        let mut errors = Vec::new();
        let labels = check_labels(std::mem::take(&mut self.labels), &mut errors);
        let not_after = self.not_after.take();
        let kind = match self.values.remove(&Field::Kind) {
            None => Err(format!("is missing; one of {}", Kind::words())),
            Some(word) => {
                Kind::parse(&word).ok_or_else(|| format!("must be one of {}", Kind::words()))
            }
        };
        let kind = match kind {
            Ok(kind) => kind,
            Err(fault) => {
                errors.insert(0, FieldError::new(Field::Kind.as_str(), fault));
                return Err(errors);
            }
        };
        let mut reader = Reader {
            kind,
            values: self.values,
            errors,
        };
        let app = reader.app(default_app);
        let job = match kind {
            Kind::Query => reader.query(app, labels, not_after).map(Job::Query),
            Kind::Disburse | Kind::Refund | Kind::Pay | Kind::AppPay | Kind::PagePay => {
                reader.money(app, labels, not_after).map(Job::Money)
            }
        };
        reader.refuse_leftovers();
        match job {
            Some(job) if reader.errors.is_empty() => Ok(job),
            _ => Err(reader.errors),
        }
    }
}

impl MoneyJob {
    /// Reads back what [`MoneyJob::canonical`] wrote; `not_after` is kept apart from it.
    ///
    /// `None` when the text was not written by this version or one that it understands.
    #[must_use]
    pub fn from_canonical(text: &str, not_after: Option<UnixMillis>) -> Option<Self> {
        let mut draft = JobDraft {
            not_after,
            ..JobDraft::default()
        };
        for line in text.lines() {
            let (name, value) = line.split_once('=')?;
            if let Some(key) = name.strip_prefix("labels.") {
                draft.labels.push((key.to_owned(), value.to_owned()));
            } else {
                draft.values.insert(Field::parse(name)?, value.to_owned());
            }
        }
        match draft.build(None) {
            Ok(Job::Money(job)) => Some(job),
            Ok(Job::Query(_)) | Err(_) => None,
        }
    }
}

/// A field, and how its text is read.
type FieldReader<T> = (Field, fn(&str) -> Result<T, IdentError>);

/// Takes fields out of a draft one by one and collects what is wrong with them.
struct Reader {
    kind: Kind,
    values: BTreeMap<Field, String>,
    errors: Vec<FieldError>,
}

impl Reader {
    /// The kind's job, for sentences.
    fn a_job(&self) -> String {
        let article = if self.kind == Kind::AppPay { "an" } else { "a" };
        format!("{article} {} job", self.kind)
    }

    fn fault(&mut self, field: Field, fault: impl Into<String>) {
        self.errors.push(FieldError::new(field.as_str(), fault));
    }

    fn optional<T>(
        &mut self,
        field: Field,
        make: impl FnOnce(&str) -> Result<T, IdentError>,
    ) -> Option<T> {
        let text = self.values.remove(&field)?;
        match make(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fault(field, error.to_string());
                None
            }
        }
    }

    fn required<T>(
        &mut self,
        field: Field,
        make: impl FnOnce(&str) -> Result<T, IdentError>,
    ) -> Option<T> {
        if !self.values.contains_key(&field) {
            self.fault(field, format!("is missing; {} needs it", self.a_job()));
            return None;
        }
        self.optional(field, make)
    }

    /// Exactly one of two fields that say the same thing in two ways.
    fn one_of<T>(&mut self, first: FieldReader<T>, second: FieldReader<T>) -> Option<T> {
        let names = format!("{} or {}", first.0.as_str(), second.0.as_str());
        match (
            self.values.contains_key(&first.0),
            self.values.contains_key(&second.0),
        ) {
            (true, false) => self.optional(first.0, first.1),
            (false, true) => self.optional(second.0, second.1),
            (true, true) => {
                self.values.remove(&first.0);
                self.values.remove(&second.0);
                self.errors
                    .push(FieldError::new(names, "only one of the two may be given"));
                None
            }
            (false, false) => {
                self.errors
                    .push(FieldError::new(names, "one of the two must be given"));
                None
            }
        }
    }

    fn app(&mut self, default_app: Option<&AppName>) -> Option<AppName> {
        if self.values.contains_key(&Field::App) {
            return self.optional(Field::App, AppName::new);
        }
        if default_app.is_none() {
            self.fault(
                Field::App,
                "is missing, and no default app is configured (alipay.default_app)",
            );
        }
        default_app.cloned()
    }

    fn amount(&mut self) -> Option<Fen> {
        let Some(text) = self.values.remove(&Field::Amount) else {
            self.fault(
                Field::Amount,
                format!("is missing; {} needs it", self.a_job()),
            );
            return None;
        };
        match Fen::parse_yuan(&text) {
            Ok(amount) => Some(amount),
            Err(error) => {
                self.fault(Field::Amount, error.to_string());
                None
            }
        }
    }

    /// `order_expired_time` is left over, and so refused: Alipay ignores it in orders that people pay.
    fn order(&mut self) -> Option<MoneyRequest> {
        let out_order_no = self.required(Field::OutOrderNo, MerchantNo::new);
        let order_title = self.required(Field::OrderTitle, Caption::new);
        let amount = self.amount();
        let extras = Extras {
            pay_timeout: self.optional(Field::PayTimeout, PayTimeout::new),
            extra_param: self.extra_param(),
            order_expired_time: None,
        };
        let cashier = match self.kind {
            Kind::PagePay => Cashier::Page {
                return_url: self.optional(Field::ReturnUrl, ReturnUrl::new),
            },
            Kind::AppPay | Kind::Disburse | Kind::Refund | Kind::Query | Kind::Pay => Cashier::App,
        };
        Some(MoneyRequest::Order {
            cashier,
            out_order_no: out_order_no?,
            order_title: order_title?,
            amount: amount?,
            extras,
        })
    }

    fn extras(&mut self) -> Extras {
        Extras {
            pay_timeout: self.optional(Field::PayTimeout, PayTimeout::new),
            extra_param: self.extra_param(),
            order_expired_time: self.optional(Field::OrderExpiredTime, PayTimeout::new),
        }
    }

    fn extra_param(&mut self) -> Option<String> {
        let extra_param = self.values.remove(&Field::ExtraParam);
        if let Some(text) = &extra_param {
            let printable = !text.chars().any(char::is_control);
            if text.is_empty() || text.chars().count() > EXTRA_PARAM_CHARS_MAX || !printable {
                self.fault(
                    Field::ExtraParam,
                    "must be a JSON object as a text of at most 300 characters on one line",
                );
            }
        }
        extra_param
    }

    fn money(
        &mut self,
        app: Option<AppName>,
        labels: Labels,
        not_after: Option<UnixMillis>,
    ) -> Option<MoneyJob> {
        let out_request_no = self.required(Field::OutRequestNo, MerchantNo::new);
        let request = match self.kind {
            Kind::Disburse => self.disburse(),
            Kind::Refund => self.refund(),
            Kind::Pay | Kind::Query => self.pay(),
            Kind::AppPay | Kind::PagePay => self.order(),
        };
        Some(MoneyJob {
            app: app?,
            out_request_no: out_request_no?,
            request: request?,
            labels,
            not_after,
        })
    }

    fn disburse(&mut self) -> Option<MoneyRequest> {
        let out_order_no = self.required(Field::OutOrderNo, MerchantNo::new);
        let deduct = self.one_of(
            (Field::DeductAuthNo, |text| {
                AlipayNo::new(text).map(OrderRef::AuthNo)
            }),
            (Field::DeductOutOrderNo, |text| {
                MerchantNo::new(text).map(OrderRef::OutOrderNo)
            }),
        );
        let order_title = self.required(Field::OrderTitle, Caption::new);
        let amount = self.amount();
        let payee = self.one_of(
            (Field::PayeeUserId, |text| {
                UserId::new(text).map(Payee::UserId)
            }),
            (Field::PayeeLogonId, |text| {
                LogonId::new(text).map(Payee::LogonId)
            }),
        );
        let extras = self.extras();
        if let (Some(own), Some(OrderRef::OutOrderNo(packet))) = (&out_order_no, &deduct)
            && own == packet
        {
            self.fault(
                Field::OutOrderNo,
                "must differ from deduct_out_order_no: a disburse is an order of its own",
            );
        }
        Some(MoneyRequest::Disburse {
            out_order_no: out_order_no?,
            deduct: deduct?,
            order_title: order_title?,
            amount: amount?,
            payee: payee?,
            extras,
        })
    }

    fn refund(&mut self) -> Option<MoneyRequest> {
        let auth_no = self.required(Field::AuthNo, AlipayNo::new);
        let amount = self.amount();
        let remark = self.required(Field::Remark, Caption::new);
        Some(MoneyRequest::Refund {
            auth_no: auth_no?,
            amount: amount?,
            remark: remark?,
        })
    }

    fn pay(&mut self) -> Option<MoneyRequest> {
        let out_order_no = self.required(Field::OutOrderNo, MerchantNo::new);
        let order_title = self.required(Field::OrderTitle, Caption::new);
        let amount = self.amount();
        let payer_user_id = self.required(Field::PayerUserId, UserId::new);
        let extras = self.extras();
        Some(MoneyRequest::Pay {
            out_order_no: out_order_no?,
            order_title: order_title?,
            amount: amount?,
            payer_user_id: payer_user_id?,
            extras,
        })
    }

    fn query(
        &mut self,
        app: Option<AppName>,
        labels: Labels,
        not_after: Option<UnixMillis>,
    ) -> Option<QueryJob> {
        let order = self.one_of(
            (Field::AuthNo, |text| {
                AlipayNo::new(text).map(OrderRef::AuthNo)
            }),
            (Field::OutOrderNo, |text| {
                MerchantNo::new(text).map(OrderRef::OutOrderNo)
            }),
        );
        let operation = self.one_of(
            (Field::OperationId, |text| {
                AlipayNo::new(text).map(OperationRef::OperationId)
            }),
            (Field::OutRequestNo, |text| {
                MerchantNo::new(text).map(OperationRef::OutRequestNo)
            }),
        );
        let target = QueryTarget {
            order: order?,
            operation: operation?,
        };
        Some(QueryJob {
            app: app?,
            target,
            labels,
            not_after,
        })
    }

    fn refuse_leftovers(&mut self) {
        for field in std::mem::take(&mut self.values).into_keys() {
            self.fault(field, format!("{} does not have this field", self.a_job()));
        }
    }
}

/// The characters of a label's key, as the inside of a regular expression's class.
pub const LABEL_KEY_ALPHABET: &str = "A-Za-z0-9_.-";

/// Whether a label can have this key: 1 to 64 of `[A-Za-z0-9_.-]`.
#[must_use]
pub fn is_label_key(key: &str) -> bool {
    (1..=LABEL_CHARS_MAX).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn check_labels(pairs: Vec<(String, String)>, errors: &mut Vec<FieldError>) -> Labels {
    if pairs.len() > LABELS_MAX {
        errors.push(FieldError::new(
            Field::Labels.as_str(),
            "at most 8 labels are allowed",
        ));
    }
    let mut labels = BTreeMap::new();
    for (key, value) in pairs {
        if !is_label_key(&key) {
            errors.push(FieldError::new(
                "labels",
                "a label's key must be 1 to 64 of A-Z, a-z, 0-9, _, - and .",
            ));
            continue;
        }
        if value.chars().count() > LABEL_CHARS_MAX || value.chars().any(char::is_control) {
            let name = format!("labels.{key}");
            errors.push(FieldError::new(
                name,
                "must be at most 64 characters without control characters",
            ));
            continue;
        }
        labels.insert(key, value);
    }
    Labels(labels)
}

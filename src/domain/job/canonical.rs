//! A job as its fields in a fixed order: what its fingerprint is made of, and its body again.

use std::borrow::Cow;

use crate::domain::draft::Field;
use crate::domain::ident::PayTimeout;
use crate::domain::job::{Cashier, Extras, MoneyJob, MoneyRequest, OrderRef, Payee};

impl MoneyJob {
    /// The job's fields but `not_after` and labels, in a fixed order.
    #[must_use]
    pub fn fields(&self) -> Vec<(Field, Cow<'_, str>)> {
        let mut fields: Vec<(Field, Cow<'_, str>)> = vec![
            (Field::Kind, self.kind().as_str().into()),
            (Field::App, self.app.as_str().into()),
            (Field::OutRequestNo, self.out_request_no.as_str().into()),
            (Field::Amount, self.amount().to_string().into()),
        ];
        match &self.request {
            MoneyRequest::Disburse {
                out_order_no,
                deduct,
                order_title,
                payee,
                extras,
                amount: _,
            } => {
                fields.push((Field::OutOrderNo, out_order_no.as_str().into()));
                fields.push(match deduct {
                    OrderRef::AuthNo(number) => (Field::DeductAuthNo, number.as_str().into()),
                    OrderRef::OutOrderNo(number) => {
                        (Field::DeductOutOrderNo, number.as_str().into())
                    }
                });
                fields.push((Field::OrderTitle, order_title.as_str().into()));
                fields.push(match payee {
                    Payee::UserId(user_id) => (Field::PayeeUserId, user_id.as_str().into()),
                    Payee::LogonId(logon_id) => (Field::PayeeLogonId, logon_id.reveal().into()),
                });
                extras.push_fields(&mut fields);
            }
            MoneyRequest::Refund {
                auth_no,
                remark,
                amount: _,
            } => {
                fields.push((Field::AuthNo, auth_no.as_str().into()));
                fields.push((Field::Remark, remark.as_str().into()));
            }
            MoneyRequest::Pay {
                out_order_no,
                order_title,
                payer_user_id,
                extras,
                amount: _,
            } => {
                fields.push((Field::OutOrderNo, out_order_no.as_str().into()));
                fields.push((Field::OrderTitle, order_title.as_str().into()));
                fields.push((Field::PayerUserId, payer_user_id.as_str().into()));
                extras.push_fields(&mut fields);
            }
            MoneyRequest::Order {
                cashier,
                out_order_no,
                order_title,
                extras,
                amount: _,
            } => {
                fields.push((Field::OutOrderNo, out_order_no.as_str().into()));
                fields.push((Field::OrderTitle, order_title.as_str().into()));
                extras.push_fields(&mut fields);
                if let Cashier::Page {
                    return_url: Some(url),
                } = cashier
                {
                    fields.push((Field::ReturnUrl, url.as_str().into()));
                }
            }
        }
        fields
    }

    /// The job as lines of `field=value` in a fixed order, labels included, `not_after` not.
    ///
    /// No value holds a line feed, so two different jobs never have the same text.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::with_capacity(320);
        for (field, value) in self.fields() {
            text.push_str(field.as_str());
            text.push('=');
            text.push_str(&value);
            text.push('\n');
        }
        for (key, value) in &self.labels.0 {
            text.push_str("labels.");
            text.push_str(key);
            text.push('=');
            text.push_str(value);
            text.push('\n');
        }
        text
    }
}

impl Extras {
    fn push_fields<'a>(&'a self, fields: &mut Vec<(Field, Cow<'a, str>)>) {
        let Self {
            pay_timeout,
            extra_param,
            order_expired_time,
        } = self;
        for (field, value) in [
            (
                Field::PayTimeout,
                pay_timeout.as_ref().map(PayTimeout::as_str),
            ),
            (Field::ExtraParam, extra_param.as_deref()),
            (
                Field::OrderExpiredTime,
                order_expired_time.as_ref().map(PayTimeout::as_str),
            ),
        ] {
            if let Some(value) = value {
                fields.push((field, value.into()));
            }
        }
    }
}

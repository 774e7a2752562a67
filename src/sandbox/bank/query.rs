//! alipay.fund.coupon.operation.query: reading what became of an operation.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::money::Fen;
use crate::domain::time::UnixMillis;
use crate::sandbox::bank::command::masked;
use crate::sandbox::bank::{
    Bank, OperationKind, OrderRef, Origin, Payee, Receipt, Refusal, TEST_PAYERS, What, visible,
};

/// An operation by Alipay's number or by the merchant's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationRef {
    /// `operation_id`, given by Alipay.
    OperationId(Arc<str>),
    /// `out_request_no`, given by the merchant.
    OutRequestNo(Arc<str>),
}

/// The pair of numbers that a query names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryBy {
    /// The order.
    pub order: OrderRef,
    /// The operation on it.
    pub operation: OperationRef,
}

/// What a query tells of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Numbers, amount, status.
    pub receipt: Receipt,
    /// The title of the order.
    pub order_title: Arc<str>,
    /// The remark, of a refund.
    pub remark: Option<Arc<str>>,
    /// As it was sent.
    pub extra_param: Option<Arc<str>>,
    /// When the operation was accepted.
    pub created_at: UnixMillis,
    /// Who filled the packet, once somebody has.
    pub payer_user_id: Option<Arc<str>>,
    /// Masked.
    pub payer_logon_id: Option<String>,
    /// Who got the share, of a disburse.
    pub payee_user_id: Option<Arc<str>>,
    /// Masked.
    pub payee_logon_id: Option<String>,
    /// How much of the order was refunded so far, in fen.
    pub refunded_fen: u64,
}

/// Money has moved, and the merchant wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The operation.
    pub details: Details,
    /// The call that it is told of; for an automatic refund that of the packet's pay.
    pub origin: Arc<Origin>,
}

impl Bank {
    /// What happened since the last time that this was asked, oldest first.
    pub fn take_happened(&mut self) -> Vec<Happening> {
        let happened = std::mem::take(&mut self.happened);
        let told = happened.into_iter().filter_map(|operation| {
            let origin = self.operations.get(operation)?.origin.clone()?;
            let details = self.details(operation);
            Some(Happening { details, origin })
        });
        told.collect()
    }

    /// Finds an operation by any pair of its numbers.
    ///
    /// Operations younger than `lag` cannot be seen yet.
    ///
    /// # Errors
    ///
    /// [`Refusal::AuthOrderNotExist`] when no order of that number can be seen,
    /// [`Refusal::AuthOperationNotExist`] when the order has no such operation that can be seen.
    pub fn query(
        &mut self,
        by: &QueryBy,
        lag: Duration,
        now: UnixMillis,
    ) -> Result<Details, Refusal> {
        self.advance(now);
        let order = match &by.order {
            OrderRef::AuthNo(number) => self.by_auth_no.get(number),
            OrderRef::OutOrderNo(number) => self.by_out_order_no.get(number),
        };
        let order = order.copied().ok_or(Refusal::AuthOrderNotExist)?;
        let found = match &by.operation {
            OperationRef::OperationId(number) => self.by_operation_id.get(number).copied(),
            OperationRef::OutRequestNo(number) => {
                self.by_number.get(&(order, Arc::clone(number))).copied()
            }
        };
        let found = found.filter(|&found| {
            self.operations
                .get(found)
                .is_some_and(|op| op.order == order && visible(op.created_at, lag, now))
        });
        found.map(|found| self.details(found)).ok_or_else(|| {
            // An order can be seen as soon as its first operation can.
            let first = self.orders.get(order).map(|order| order.first);
            let first = first.and_then(|first| self.operations.get(first));
            let seen = first.is_some_and(|first| visible(first.created_at, lag, now));
            if seen {
                Refusal::AuthOperationNotExist
            } else {
                Refusal::AuthOrderNotExist
            }
        })
    }

    pub(super) fn details(&self, operation: usize) -> Details {
        let op = &self.operations[operation];
        let packet = self.packet(op.packet);
        let payee = match &op.command.what {
            What::Disburse { payee, .. } => Some(payee),
            What::Pay { .. } | What::Refund { .. } => None,
        };
        let is_refund = op.command.kind() == OperationKind::Refund;
        let caption = &op.command.caption;
        let payer_logon_id = packet.payer.as_deref().map(|payer| {
            let known = TEST_PAYERS.iter().find(|known| known.user_id == payer);
            known.map_or_else(|| masked(payer), |known| masked(known.logon_id))
        });
        Details {
            receipt: self.receipt(operation),
            order_title: Arc::clone(if is_refund { &packet.title } else { caption }),
            remark: is_refund.then(|| Arc::clone(caption)),
            extra_param: op.command.extra_param.clone(),
            created_at: op.created_at,
            payer_user_id: packet.payer.clone(),
            payer_logon_id,
            payee_user_id: payee.map(Payee::user_id),
            payee_logon_id: payee.map(Payee::masked_logon_id),
            refunded_fen: match op.command.kind() {
                OperationKind::Pay | OperationKind::Refund => packet.refunded_fen,
                OperationKind::Disburse => 0,
            },
        }
    }
}

/// An amount that may be zero, in yuan with two decimals.
pub(crate) fn yuan(fen: u64) -> String {
    Fen::new(fen).map_or_else(
        || format!("{}.{:02}", fen / 100, fen % 100),
        |fen| fen.to_string(),
    )
}

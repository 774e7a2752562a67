//! Why the bank refuses a command or a query.

/// A business refusal: `code` 40004 with one of these as `sub_code`.
///
/// Source: the business codes of Alipay's sibling interfaces (fund.auth), for there is no public
/// table for fund.coupon; `UNIQUE_VIOLATION` and `MONEY_NOT_ENOUGH` were seen in real answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// A parameter is missing or wrong.
    IllegalArgument,
    /// A forbidden word in the title or remark.
    ExistForbiddenWord,
    /// The number was used already.
    UniqueViolation,
    /// No order of this `auth_no`.
    AuthOrderNotExist,
    /// No order of this `out_order_no`.
    OrderNotExist,
    /// The order has no such operation.
    AuthOperationNotExist,
    /// The packet is not paid.
    IllegalStatus,
    /// The packet is closed.
    OrderAlreadyClosed,
    /// Nothing is left in the packet.
    OrderAlreadyFinish,
    /// Less is left than was asked for.
    MoneyNotEnough,
    /// No such payee.
    PayeeNotExist,
    /// The payee's account is restricted.
    PayeeUserStatusLimit,
    /// No such payer.
    PayerNotExist,
    /// The payer's account is restricted.
    PayerUserStatusLimit,
    /// The payee is the packet's payer.
    PayerPayeeEqual,
}

impl Refusal {
    /// Alipay's `sub_code`.
    #[must_use]
    pub fn sub_code(self) -> &'static str {
        self.texts().0
    }

    /// Our reading: a `sub_msg` for people, in the words of similar real ones.
    #[must_use]
    pub fn sub_msg(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::IllegalArgument => ("ILLEGAL_ARGUMENT", "参数异常"),
            Self::ExistForbiddenWord => ("EXIST_FORBIDDEN_WORD", "标题或备注中含有禁用词"),
            Self::UniqueViolation => (
                "UNIQUE_VIOLATION",
                "商户本次资金操作的请求流水号与之前有重复",
            ),
            Self::AuthOrderNotExist => ("AUTH_ORDER_NOT_EXIST", "支付宝资金授权订单不存在"),
            Self::OrderNotExist => ("ORDER_NOT_EXIST", "订单不存在"),
            Self::AuthOperationNotExist => ("AUTH_OPERATION_NOT_EXIST", "支付宝资金操作流水不存在"),
            Self::IllegalStatus => ("ILLEGAL_STATUS", "订单状态不允许本次操作"),
            Self::OrderAlreadyClosed => ("ORDER_ALREADY_CLOSED", "订单已经关闭"),
            Self::OrderAlreadyFinish => ("ORDER_ALREADY_FINISH", "订单已经完结"),
            Self::MoneyNotEnough => ("MONEY_NOT_ENOUGH", "本次操作的金额超过剩余可用金额"),
            Self::PayeeNotExist => ("PAYEE_NOT_EXIST", "收款账号不存在"),
            Self::PayeeUserStatusLimit => ("PAYEE_USER_STATUS_LIMIT", "收款方账户状态受限"),
            Self::PayerNotExist => ("PAYER_NOT_EXIST", "付款账号不存在"),
            Self::PayerUserStatusLimit => ("PAYER_USER_STATUS_LIMIT", "付款方账户状态受限"),
            Self::PayerPayeeEqual => ("PAYER_PAYEE_EQUAL", "收付款方不能相同"),
        }
    }
}

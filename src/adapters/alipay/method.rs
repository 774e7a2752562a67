//! The interfaces of the cash red packet product.

/// An interface. Source: Alipay fund.coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Pays out a share of a packet.
    Disburse,
    /// Gives back what was not paid out.
    Refund,
    /// Funds a packet by agreement.
    Pay,
    /// Reads what became of an operation.
    Query,
    /// Funds a packet by a person's payment in Alipay's app; signed, and never called from here.
    AppPay,
    /// Funds a packet by a person's payment on a page; signed, and never called from here.
    PagePay,
}

impl Method {
    /// Every interface; [`Method::index`] is the place in it.
    pub const ALL: [Self; 6] = [
        Self::Disburse,
        Self::Refund,
        Self::Pay,
        Self::Query,
        Self::AppPay,
        Self::PagePay,
    ];

    /// Alipay's name, the value of the parameter `method`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disburse => "alipay.fund.coupon.order.disburse",
            Self::Refund => "alipay.fund.coupon.order.refund",
            Self::Pay => "alipay.fund.coupon.order.agreement.pay",
            Self::Query => "alipay.fund.coupon.operation.query",
            Self::AppPay => "alipay.fund.coupon.order.app.pay",
            Self::PagePay => "alipay.fund.coupon.order.page.pay",
        }
    }

    /// The name of the answer's node.
    #[must_use]
    pub const fn node_name(self) -> &'static str {
        match self {
            Self::Disburse => "alipay_fund_coupon_order_disburse_response",
            Self::Refund => "alipay_fund_coupon_order_refund_response",
            Self::Pay => "alipay_fund_coupon_order_agreement_pay_response",
            Self::Query => "alipay_fund_coupon_operation_query_response",
            Self::AppPay => "alipay_fund_coupon_order_app_pay_response",
            Self::PagePay => "alipay_fund_coupon_order_page_pay_response",
        }
    }

    /// The place in [`Method::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Disburse => 0,
            Self::Refund => 1,
            Self::Pay => 2,
            Self::Query => 3,
            Self::AppPay => 4,
            Self::PagePay => 5,
        }
    }

    /// Whether a person's app or browser makes the call, with what was signed here.
    #[must_use]
    pub const fn is_for_a_person(self) -> bool {
        match self {
            Self::AppPay | Self::PagePay => true,
            Self::Disburse | Self::Refund | Self::Pay | Self::Query => false,
        }
    }

    /// The interface of Alipay's name, or `None`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::Method;
    use crate::adapters::alipay::wire::node_name;

    #[test]
    fn names_places_and_nodes_belong_together() {
        for (place, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method.index(), place);
            assert_eq!(Method::parse(method.as_str()), Some(method));
            assert_eq!(method.node_name(), node_name(method.as_str()));
        }
        assert_eq!(Method::parse("alipay.fund.coupon.order.unfreeze"), None);
    }
}

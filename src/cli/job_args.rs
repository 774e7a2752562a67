//! The flags of one job. They are written as a job's body, so that one reader judges all jobs.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

const DISBURSE_EXAMPLE: &str = "\
Examples:
  hongbaod submit disburse --out-request-no R1 --out-order-no O1 --deduct-out-order-no P1 \\
      --order-title 'Lucky money' --amount 8.88 --payee-user-id 2088102146225135 --label room=42";

const REFUND_EXAMPLE: &str = "\
Examples:
  hongbaod submit refund --out-request-no R2 --auth-no 2026112210002001950000000001 \\
      --amount 1.12 --remark 'not opened'";

const QUERY_EXAMPLE: &str = "\
Examples:
  hongbaod submit query --out-order-no O1 --out-request-no R1
  hongbaod submit query --auth-no 2026112210002001950000000001 --out-request-no R1";

const PAY_EXAMPLE: &str = "\
Examples:
  hongbaod submit pay --out-request-no R3 --out-order-no P2 --order-title 'Lucky money' \\
      --amount 100.00 --payer-user-id 2088101000000001";

/// One job from flags.
#[derive(Debug, Subcommand)]
pub(crate) enum JobArgs {
    /// Pay a share of a packet to one person.
    #[command(after_help = DISBURSE_EXAMPLE)]
    Disburse(DisburseArgs),
    /// Give what is left of a packet back to its payer.
    #[command(after_help = REFUND_EXAMPLE)]
    Refund(RefundArgs),
    /// Ask Alipay about an operation; moves nothing.
    #[command(after_help = QUERY_EXAMPLE)]
    Query(QueryArgs),
    /// Pay a packet from an account that signed an agreement.
    #[command(after_help = PAY_EXAMPLE)]
    Pay(PayArgs),
    /// Sign an order that a person pays in Alipay's app; the event holds the order string.
    AppPay(PayableArgs),
    /// Sign an order that a person pays on Alipay's page; the event holds the page's address.
    PagePay(PagePayableArgs),
}

/// The flags of every kind.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// The configured app that pays [default: the daemon's].
    #[arg(long, value_name = "NAME")]
    app: Option<String>,

    /// Do not send the job after this instant, such as 2026-11-22T10:00:00+08:00.
    #[arg(long, value_name = "RFC3339")]
    not_after: Option<String>,

    /// Free data that is echoed in the events; up to 8 times.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

/// Alipay's optional parameters of an order.
#[derive(Debug, Args)]
pub(crate) struct ExtraArgs {
    /// How long the order may be paid: 1m to 7d.
    #[arg(long, value_name = "TIME")]
    pay_timeout: Option<String>,

    /// Alipay's `extra_param`, a JSON object as text.
    #[arg(long, value_name = "JSON")]
    extra_param: Option<String>,

    /// When the order expires: 1m to 7d.
    #[arg(long, value_name = "TIME")]
    order_expired_time: Option<String>,
}

/// The flags of `disburse`.
#[derive(Debug, Args)]
pub(crate) struct DisburseArgs {
    /// Number of the operation, the key against paying twice: 1 to 64 of A-Z, a-z, 0-9, _ and -.
    #[arg(long, value_name = "NO")]
    out_request_no: String,
    /// Number of this disburse order.
    #[arg(long, value_name = "NO")]
    out_order_no: String,
    #[command(flatten)]
    packet: PacketArgs,
    /// What the payee reads.
    #[arg(long, value_name = "TEXT")]
    order_title: String,
    /// In yuan, such as 8.88.
    #[arg(long, value_name = "YUAN", allow_hyphen_values = true)]
    amount: String,
    #[command(flatten)]
    payee: PayeeArgs,
    #[command(flatten)]
    extra: ExtraArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// The packet's pay order, by one of its two numbers.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PacketArgs {
    /// Your number of the packet's pay order.
    #[arg(long, value_name = "NO")]
    deduct_out_order_no: Option<String>,
    /// Alipay's number of the packet's pay order.
    #[arg(long, value_name = "NO")]
    deduct_auth_no: Option<String>,
}

/// Who is paid.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PayeeArgs {
    /// The payee's user id (2088…).
    #[arg(long, value_name = "ID")]
    payee_user_id: Option<String>,
    /// The payee's phone number or mail address.
    #[arg(long, value_name = "ID")]
    payee_logon_id: Option<String>,
}

/// The flags of `refund`.
#[derive(Debug, Args)]
pub(crate) struct RefundArgs {
    /// Number of the operation, the key against refunding twice.
    #[arg(long, value_name = "NO")]
    out_request_no: String,
    /// Alipay's number of the packet's pay order.
    #[arg(long, value_name = "NO")]
    auth_no: String,
    /// In yuan, such as 8.88.
    #[arg(long, value_name = "YUAN", allow_hyphen_values = true)]
    amount: String,
    /// Why, for the payer to read.
    #[arg(long, value_name = "TEXT")]
    remark: String,
    #[command(flatten)]
    common: CommonArgs,
}

/// The flags of `query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    operation: OperationArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// The order, by one of its two numbers.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct OrderArgs {
    /// Your number of the order.
    #[arg(long, value_name = "NO")]
    out_order_no: Option<String>,
    /// Alipay's number of the order.
    #[arg(long, value_name = "NO")]
    auth_no: Option<String>,
}

/// The operation, by one of its two numbers.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct OperationArgs {
    /// Your number of the operation.
    #[arg(long, value_name = "NO")]
    out_request_no: Option<String>,
    /// Alipay's number of the operation.
    #[arg(long, value_name = "NO")]
    operation_id: Option<String>,
}

/// The flags of `pay`.
#[derive(Debug, Args)]
pub(crate) struct PayArgs {
    /// Number of the operation, the key against paying twice.
    #[arg(long, value_name = "NO")]
    out_request_no: String,
    /// Number of the packet's pay order.
    #[arg(long, value_name = "NO")]
    out_order_no: String,
    /// What the payer reads.
    #[arg(long, value_name = "TEXT")]
    order_title: String,
    /// In yuan, such as 8.88.
    #[arg(long, value_name = "YUAN", allow_hyphen_values = true)]
    amount: String,
    /// The payer's user id (2088…).
    #[arg(long, value_name = "ID")]
    payer_user_id: String,
    #[command(flatten)]
    extra: ExtraArgs,
    #[command(flatten)]
    common: CommonArgs,
}

/// The flags of an order that a person pays.
#[derive(Debug, Args)]
pub(crate) struct PayableArgs {
    /// Number of the operation: 1 to 64 of A-Z, a-z, 0-9, _ and -.
    #[arg(long, value_name = "NO")]
    out_request_no: String,
    /// Number of this pay order; the packet is known by it.
    #[arg(long, value_name = "NO")]
    out_order_no: String,
    /// What the payer reads.
    #[arg(long, value_name = "TEXT")]
    order_title: String,
    /// In yuan, such as 8.88.
    #[arg(long, value_name = "YUAN", allow_hyphen_values = true)]
    amount: String,
    /// How long the order may be paid: 1m to 7d.
    #[arg(long, value_name = "TIME")]
    pay_timeout: Option<String>,
    /// Alipay's `extra_param`, a JSON object as text.
    #[arg(long, value_name = "JSON")]
    extra_param: Option<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// The flags of an order that a person pays on a page.
#[derive(Debug, Args)]
pub(crate) struct PagePayableArgs {
    #[command(flatten)]
    order: PayableArgs,
    /// Where the cashier page sends the payer's browser back to.
    #[arg(long, value_name = "URL")]
    return_url: Option<String>,
}

impl PayableArgs {
    /// The body of the job that signs the order for Alipay's app.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Body::default();
        body.order("app_pay", self);
        body.into_bytes()
    }
}

impl PagePayableArgs {
    /// The body of the job that signs the order for Alipay's page.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Body::default();
        body.order("page_pay", &self.order);
        body.put_given([("return_url", &self.return_url)]);
        body.into_bytes()
    }
}

impl JobArgs {
    /// The job's body, on one line.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Body::default();
        match self {
            Self::Disburse(args) => body.disburse(args),
            Self::Refund(args) => body.refund(args),
            Self::Query(args) => body.query(args),
            Self::Pay(args) => body.pay(args),
            Self::AppPay(args) => return args.body(),
            Self::PagePay(args) => return args.body(),
        }
        body.into_bytes()
    }
}

#[derive(Default)]
struct Body(Map<String, Value>);

impl Body {
    fn into_bytes(self) -> Vec<u8> {
        Value::Object(self.0).to_string().into_bytes()
    }

    fn order(&mut self, kind: &str, args: &PayableArgs) {
        self.put("kind", kind);
        self.put("out_request_no", &args.out_request_no);
        self.put("out_order_no", &args.out_order_no);
        self.put("order_title", &args.order_title);
        self.put("amount", &args.amount);
        self.put_given([
            ("pay_timeout", &args.pay_timeout),
            ("extra_param", &args.extra_param),
        ]);
        self.common(&args.common);
    }

    fn put(&mut self, field: &str, value: &str) {
        self.0.insert(field.to_owned(), value.into());
    }

    fn put_given<'a>(
        &mut self,
        fields: impl IntoIterator<Item = (&'static str, &'a Option<String>)>,
    ) {
        for (field, value) in fields {
            if let Some(value) = value {
                self.put(field, value);
            }
        }
    }

    fn disburse(&mut self, args: &DisburseArgs) {
        self.put("kind", "disburse");
        self.put("out_request_no", &args.out_request_no);
        self.put("out_order_no", &args.out_order_no);
        self.put("order_title", &args.order_title);
        self.put("amount", &args.amount);
        self.put_given([
            ("deduct_out_order_no", &args.packet.deduct_out_order_no),
            ("deduct_auth_no", &args.packet.deduct_auth_no),
            ("payee_user_id", &args.payee.payee_user_id),
            ("payee_logon_id", &args.payee.payee_logon_id),
        ]);
        self.extra(&args.extra);
        self.common(&args.common);
    }

    fn refund(&mut self, args: &RefundArgs) {
        self.put("kind", "refund");
        self.put("out_request_no", &args.out_request_no);
        self.put("auth_no", &args.auth_no);
        self.put("amount", &args.amount);
        self.put("remark", &args.remark);
        self.common(&args.common);
    }

    fn query(&mut self, args: &QueryArgs) {
        self.put("kind", "query");
        self.put_given([
            ("out_order_no", &args.order.out_order_no),
            ("auth_no", &args.order.auth_no),
            ("out_request_no", &args.operation.out_request_no),
            ("operation_id", &args.operation.operation_id),
        ]);
        self.common(&args.common);
    }

    fn pay(&mut self, args: &PayArgs) {
        self.put("kind", "pay");
        self.put("out_request_no", &args.out_request_no);
        self.put("out_order_no", &args.out_order_no);
        self.put("order_title", &args.order_title);
        self.put("amount", &args.amount);
        self.put("payer_user_id", &args.payer_user_id);
        self.extra(&args.extra);
        self.common(&args.common);
    }

    fn extra(&mut self, args: &ExtraArgs) {
        self.put_given([
            ("pay_timeout", &args.pay_timeout),
            ("extra_param", &args.extra_param),
            ("order_expired_time", &args.order_expired_time),
        ]);
    }

    fn common(&mut self, args: &CommonArgs) {
        self.put_given([("app", &args.app), ("not_after", &args.not_after)]);
        if !args.labels.is_empty() {
            let labels = args.labels.iter();
            let labels = labels.map(|(key, value)| (key.clone(), Value::from(value.as_str())));
            self.0.insert("labels".to_owned(), labels.collect());
        }
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write KEY=VALUE, such as room=42".to_owned())
}

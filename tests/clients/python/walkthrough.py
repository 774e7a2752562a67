"""Alipay's own SDK for Python against the sandbox: it verifies every answer itself.

Usage: python walkthrough.py GATEWAY KEYS_DIRECTORY [SIGN_TYPE [CHARSET]]
"""

import base64
import http.client
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.domain.AlipayFundCouponOperationQueryModel import AlipayFundCouponOperationQueryModel
from alipay.aop.api.domain.AlipayFundCouponOrderAgreementPayModel import AlipayFundCouponOrderAgreementPayModel
from alipay.aop.api.domain.AlipayFundCouponOrderDisburseModel import AlipayFundCouponOrderDisburseModel
from alipay.aop.api.domain.AlipayFundCouponOrderRefundModel import AlipayFundCouponOrderRefundModel
from alipay.aop.api.request.AlipayFundCouponOperationQueryRequest import AlipayFundCouponOperationQueryRequest
from alipay.aop.api.request.AlipayFundCouponOrderAgreementPayRequest import AlipayFundCouponOrderAgreementPayRequest
from alipay.aop.api.request.AlipayFundCouponOrderDisburseRequest import AlipayFundCouponOrderDisburseRequest
from alipay.aop.api.request.AlipayFundCouponOrderRefundRequest import AlipayFundCouponOrderRefundRequest
from alipay.aop.api.util import WebUtils
from pyasn1.codec.der import decoder as der_decoder

gateway, keys = sys.argv[1], Path(sys.argv[2])
sign_type = sys.argv[3] if len(sys.argv) > 3 else "RSA2"
charset = sys.argv[4] if len(sys.argv) > 4 else "utf-8"
STAMP = f"{sign_type}{charset.replace('-', '')}{time.time_ns()}"


def connect(url, query_string, timeout):
    """The SDK knows the ports 80 and 443 alone; signing and verifying stay its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    return f"{parts.path}?{query_string}", connection


WebUtils.get_http_connection = connect


def bare(name):
    """The key as the SDK wants it: base64 without its armour."""
    lines = (keys / name).read_text().splitlines()
    return "".join(line for line in lines if line and not line.startswith("-----"))


def pkcs1(name):
    """The private key as this SDK alone wants it: PKCS#1, which is what PKCS#8 wraps."""
    key, _ = der_decoder.decode(base64.b64decode(bare(name)))
    return base64.b64encode(key[2].asOctets()).decode()


config = AlipayClientConfig()
config.server_url = gateway
config.app_id = "2021000000000000"
config.sign_type = sign_type
config.charset = charset
config.app_private_key = pkcs1("app_private_key.pem")
config.alipay_public_key = bare("alipay_public_key.pem")
client = DefaultAlipayClient(config)


def call(name, model_type, request_type, **fields):
    """Calls once. The SDK raises if the answer is not signed by Alipay's key."""
    model = model_type()
    for field, value in fields.items():
        setattr(model, field, value)
    answer = json.loads(client.execute(request_type(biz_model=model)))
    verdict = answer.get("status") or answer.get("sub_code")
    print(f"python {sign_type} {charset} {name}: {answer['code']} {verdict}")
    return answer


packet = f"PP{STAMP}"
paid = call(
    "agreement.pay",
    AlipayFundCouponOrderAgreementPayModel,
    AlipayFundCouponOrderAgreementPayRequest,
    out_order_no=packet,
    out_request_no=packet,
    order_title="红包",
    amount="10.00",
    payer_user_id="2088101117955611",
)
assert paid["status"] == "SUCCESS", paid

share = f"PR{STAMP}"
disbursed = call(
    "disburse",
    AlipayFundCouponOrderDisburseModel,
    AlipayFundCouponOrderDisburseRequest,
    out_order_no=share,
    out_request_no=share,
    deduct_auth_no=paid["auth_no"],
    order_title="红包",
    amount="8.88",
    payee_user_id="2088102146225135",
)
assert disbursed["status"] == "SUCCESS", disbursed
assert disbursed["auth_no"] != paid["auth_no"]

refunded = call(
    "refund",
    AlipayFundCouponOrderRefundModel,
    AlipayFundCouponOrderRefundRequest,
    auth_no=paid["auth_no"],
    out_request_no=f"PF{STAMP}",
    amount="1.12",
    remark="退回",
)
assert refunded["status"] == "SUCCESS", refunded

found = call(
    "query",
    AlipayFundCouponOperationQueryModel,
    AlipayFundCouponOperationQueryRequest,
    out_order_no=share,
    out_request_no=share,
)
assert found["amount"] == "8.88", found
assert found["order_title"] == "红包", found
print(f"python {sign_type} {charset}: every answer verified")

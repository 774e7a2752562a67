"""python-alipay-sdk in certificate mode against the sandbox: it verifies every answer itself.

Usage: python certificates.py GATEWAY KEYS_DIRECTORY [SIGN_TYPE]
"""

import sys
import time
from pathlib import Path

from alipay import DCAliPay

gateway, keys = sys.argv[1], Path(sys.argv[2])
sign_type = sys.argv[3] if len(sys.argv) > 3 else "RSA2"
STAMP = f"{sign_type}{time.time_ns()}"


def text(name):
    return (keys / name).read_text()


client = DCAliPay(
    appid="2021000000000000",
    app_private_key_string=text("app_private_key.pem"),
    app_public_key_cert_string=text("appCertPublicKey.crt"),
    alipay_public_key_cert_string=text("alipayCertPublicKey_RSA2.crt"),
    alipay_root_cert_string=text("alipayRootCert.crt"),
    sign_type=sign_type,
)
client._gateway = gateway


def call(method, **content):
    """Calls once. The SDK raises if the answer is not signed by Alipay's certificate."""
    answer = client.server_api(method, content)
    print(f"python certificates {sign_type} {method}: {answer['code']} {answer.get('status')}")
    assert answer["status"] == "SUCCESS", answer
    return answer


paid = call(
    "alipay.fund.coupon.order.agreement.pay",
    out_order_no=f"CP{STAMP}",
    out_request_no=f"CP{STAMP}",
    order_title="lucky money",
    amount="10.00",
    payer_user_id="2088101117955611",
)
disbursed = call(
    "alipay.fund.coupon.order.disburse",
    out_order_no=f"CR{STAMP}",
    out_request_no=f"CR{STAMP}",
    deduct_auth_no=paid["auth_no"],
    order_title="lucky money",
    amount="8.88",
    payee_user_id="2088102146225135",
)
call(
    "alipay.fund.coupon.order.refund",
    auth_no=paid["auth_no"],
    out_request_no=f"CF{STAMP}",
    amount="1.12",
    remark="back",
)
found = call(
    "alipay.fund.coupon.operation.query",
    auth_no=disbursed["auth_no"],
    operation_id=disbursed["operation_id"],
)
assert found["amount"] == "8.88", found
print(f"python certificates {sign_type}: every answer verified")

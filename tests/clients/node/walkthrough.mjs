// Alipay's own SDK for Node against the sandbox, its verification of answers on.
// Usage: node walkthrough.mjs GATEWAY KEYS_DIRECTORY
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AlipaySdk } from 'alipay-sdk';

const [gateway, keys] = process.argv.slice(2);
const key = (name) => readFileSync(join(keys, name), 'utf8');
const bare = (pem) => pem.replace(/-----[A-Z ]+-----/g, '').replace(/\s/g, '');
const isPkcs8 = (pem) => pem.includes('BEGIN PRIVATE KEY');
const MERCHANT = '2088101117955611';
const PAYEE = '2088102146225135';

const sdk = new AlipaySdk({
  appId: '2021000000000000',
  privateKey: bare(key('app_private_key.pem')),
  keyType: isPkcs8(key('app_private_key.pem')) ? 'PKCS8' : 'PKCS1',
  alipayPublicKey: bare(key('alipay_public_key.pem')),
  gateway,
  camelcase: false,
});

async function call(method, bizContent) {
  const answer = await sdk.exec(method, { bizContent }, { validateSign: true });
  console.log(`node ${method}: ${answer.code} ${answer.status ?? answer.subCode ?? answer.sub_code}`);
  return answer;
}

const stamp = Date.now();
const packet = `NP${stamp}`;
const paid = await call('alipay.fund.coupon.order.agreement.pay', {
  out_order_no: packet,
  out_request_no: packet,
  order_title: '红包 & "co"',
  amount: '10.00',
  payer_user_id: MERCHANT,
});
assert.equal(paid.status, 'SUCCESS');

const share = `NR${stamp}`;
const disbursed = await call('alipay.fund.coupon.order.disburse', {
  out_order_no: share,
  out_request_no: share,
  deduct_auth_no: paid.auth_no,
  order_title: '红包',
  amount: '8.88',
  payee_user_id: PAYEE,
});
assert.equal(disbursed.status, 'SUCCESS');
assert.notEqual(disbursed.auth_no, paid.auth_no);

const refunded = await call('alipay.fund.coupon.order.refund', {
  auth_no: paid.auth_no,
  out_request_no: `NF${stamp}`,
  amount: '1.12',
  remark: '退回',
});
assert.equal(refunded.status, 'SUCCESS');

const found = await call('alipay.fund.coupon.operation.query', {
  auth_no: disbursed.auth_no,
  operation_id: disbursed.operation_id,
});
assert.equal(found.amount, '8.88');
assert.equal(found.operation_type, 'PAY');

const refused = await call('alipay.fund.coupon.order.refund', {
  auth_no: paid.auth_no,
  out_request_no: `NG${stamp}`,
  amount: '0.01',
  remark: '退回',
});
assert.equal(refused.code, '40004');
// An order that is paid on the phone: the SDK signs it, and verifies what the phone brings back.
const origin = new URL(gateway).origin;
const order = (number) => ({
  bizContent: { out_order_no: number, out_request_no: number, order_title: '红包 & "co"', amount: '6.60' },
});
const orderString = sdk.sdkExecute('alipay.fund.coupon.order.app.pay', order(`NA${stamp}`));
const phone = await (await fetch(`${origin}/_sandbox/phone`, { method: 'POST', body: orderString })).json();
assert.equal(String(phone.resultStatus), '9000');
// Throws if Alipay's key has not signed it.
const { sign } = JSON.parse(phone.result);
sdk.checkResponseSign(phone.result, 'alipay_fund_coupon_order_app_pay_response', sign, '');
console.log('node alipay.fund.coupon.order.app.pay: 9000, verified');

// And one that is paid on the page.
const page = sdk.pageExecute('alipay.fund.coupon.order.page.pay', 'GET', order(`NB${stamp}`));
const cashier = await fetch(page);
assert.match(cashier.url, /_sandbox\/cashier/);
const paidThere = await fetch(`${origin}/_sandbox/cashier`, {
  method: 'POST',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: `${new URL(cashier.url).search.slice(1)}&payer=2088101000000001&do=pay`,
});
assert.ok(paidThere.ok);
for (const number of [`NA${stamp}`, `NB${stamp}`]) {
  const paidOrder = await call('alipay.fund.coupon.operation.query', {
    out_order_no: number,
    out_request_no: number,
  });
  assert.equal(paidOrder.status, 'SUCCESS');
}
console.log('node: every answer verified');

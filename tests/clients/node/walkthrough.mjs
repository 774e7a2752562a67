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
console.log('node: every answer verified');

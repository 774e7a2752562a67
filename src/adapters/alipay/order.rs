//! A signed order in the forms that a person's app or browser takes it in.
//!
//! Nothing is called from here: the merchant's app hands the order string to Alipay's SDK, a
//! browser opens the page's address or submits the form. Source: Alipay open platform, `sdkExecute`
//! and `pageExecute` of its SDKs.

use crate::adapters::alipay::request::SignedRequest;
use crate::adapters::alipay::wire::{FormError, form_decode_bytes};

/// Returns the order string for Alipay's app: every parameter, `sign` too, sorted by name and
/// percent-encoded. It is handed on as it is.
#[must_use]
pub fn order_string(request: &SignedRequest) -> String {
    let query = request.url.split_once('?').map_or("", |(_, query)| query);
    let mut params: Vec<&str> = query
        .split('&')
        .chain(request.body.split('&'))
        .filter(|param| !param.is_empty())
        .collect();
    params.sort_unstable_by_key(|param| param.split('=').next());
    params.join("&")
}

/// Returns the address that a browser opens to pay: the gateway's, with the whole order.
#[must_use]
pub fn page_url(request: &SignedRequest) -> String {
    let gateway = request.url.split('?').next().unwrap_or_default();
    format!("{gateway}?{}", order_string(request))
}

/// Returns a page whose form submits itself to the cashier; without scripts, by a button.
///
/// It is longer than any address may be, so long contents need it. `charset` is in the form's
/// address, all else in hidden fields; all are escaped.
///
/// # Errors
///
/// [`FormError`] if the request's own body is no form.
pub fn page_form(request: &SignedRequest) -> Result<String, FormError> {
    let mut fields = String::new();
    let charset = request.charset;
    for (name, value) in form_decode_bytes(request.body.as_bytes())? {
        let text = |bytes: &[u8]| charset.decode(bytes).map(|text| escape(&text));
        let (Some(name), Some(value)) = (text(&name), text(&value)) else {
            return Err(FormError::Utf8);
        };
        let field = [
            "<input type=\"hidden\" name=\"",
            &name,
            "\" value=\"",
            &value,
            "\">\n",
        ];
        fields.push_str(&field.concat());
    }
    let action = escape(&request.url);
    // The page is in UTF-8, what it submits in the charset that was signed.
    let charset = charset.as_str();
    Ok(format!(
        "<!doctype html>\n<html lang=\"zh-CN\">\n<head><meta charset=\"utf-8\"><title>支付宝</title></head>\n\
         <body>\n<form name=\"punchout_form\" method=\"post\" accept-charset=\"{charset}\" action=\"{action}\">\n{fields}\
         <noscript><input type=\"submit\" value=\"立即支付\"></noscript>\n</form>\n\
         <script>document.forms[0].submit();</script>\n</body>\n</html>\n"
    ))
}

/// Escapes what could end an attribute's value or begin markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{escape, order_string, page_form, page_url};
    use crate::adapters::alipay::request::SignedRequest;
    use crate::adapters::alipay::wire::{Charset, form_encode, form_encode_bytes};

    fn request() -> SignedRequest {
        SignedRequest {
            url: "https://gateway.test/gateway.do?app_id=1&charset=utf-8&sign_type=RSA2&timestamp=t&sign=a%2Bb".to_owned(),
            body: form_encode([("biz_content", r#"{"order_title":"<红'包> & \"co\""}"#)]),
            charset: Charset::Utf8,
        }
    }

    #[test]
    fn the_order_string_is_sorted_by_name_and_stays_encoded() {
        let order = order_string(&request());
        let names: Vec<_> = order
            .split('&')
            .map(|param| param.split('=').next())
            .collect();
        let sorted = [
            "app_id",
            "biz_content",
            "charset",
            "sign",
            "sign_type",
            "timestamp",
        ];
        assert_eq!(names, sorted.map(Some));
        assert!(order.contains("&sign=a%2Bb&"), "{order}");
        assert_eq!(
            page_url(&request()),
            format!("https://gateway.test/gateway.do?{order}")
        );
    }

    #[test]
    fn nothing_of_an_order_ends_an_attribute_of_the_form() {
        let form = page_form(&request()).unwrap();
        assert!(
            form.contains("action=\"https://gateway.test/gateway.do?app_id=1&amp;charset=utf-8")
        );
        let content =
            "{&quot;order_title&quot;:&quot;&lt;红&#39;包&gt; &amp; \\&quot;co\\&quot;&quot;}";
        assert!(
            form.contains(&format!("name=\"biz_content\" value=\"{content}\"")),
            "{form}"
        );
        assert_eq!(escape("&<>\"'"), "&amp;&lt;&gt;&quot;&#39;");
    }

    #[test]
    fn a_form_of_an_order_in_gbk_is_submitted_in_gbk() {
        let content = Charset::Gbk.encode("红包").unwrap();
        let request = SignedRequest {
            body: form_encode_bytes([("biz_content", content)]),
            charset: Charset::Gbk,
            ..request()
        };
        let form = page_form(&request).unwrap();
        assert!(form.contains("accept-charset=\"gbk\""), "{form}");
        assert!(form.contains("value=\"红包\""), "{form}");
    }
}

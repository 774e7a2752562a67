//! What the listener for notifications needs: to know a true one from anything else.

use crate::domain::ident::AppName;
use crate::domain::notice::Notice;

/// Reads what is posted to the listener; nothing of it is believed before its signature.
pub trait Notifications: Send + Sync {
    /// Whether there is such an app.
    fn knows(&self, app: &AppName) -> bool;

    /// Reads the whole body of a notification to `app`.
    ///
    /// # Errors
    ///
    /// [`NotificationError`]: it is refused, and nothing in it means anything.
    fn read(&self, app: &AppName, body: &[u8]) -> Result<Notice, NotificationError>;
}

/// Why a notification is refused. Holds nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotificationError {
    /// No app of this name is configured.
    #[error("no such app is configured")]
    UnknownApp,
    /// Not a form, truncated within a percent sequence, or of more params than any notice has.
    #[error("the body is not a form")]
    NotAForm,
    /// A param comes twice: which of them counts would be chance.
    #[error("a param comes twice")]
    Duplicate,
    /// A name or value that could be read as other params with the same signature.
    #[error("the params could be read in two ways")]
    Ambiguous,
    /// There is no signature.
    #[error("it is not signed")]
    Unsigned,
    /// The signature is not one of these params by a key of Alipay for this app.
    #[error("the signature is not Alipay's")]
    Forged,
    /// Truly Alipay's, but about another app.
    #[error("it is about another app")]
    Foreign,
    /// The named charset is none that Alipay sends, or the text is not in it.
    #[error("the text is not in the charset that it names")]
    Charset,
    /// Truly Alipay's, but a field that decides is missing or cannot be read.
    #[error("{field} is missing or cannot be read")]
    Unreadable {
        /// The field's name.
        field: &'static str,
    },
}

/// An error that can say which item of a map it belongs to.
///
/// `map`, `starMap` and `imap` throw the error of the item that failed with its type, and set ``item`` on its way if the type
/// has one: this library's errors do, and yours may.
///
///     struct ParseError: IndexedError, Codable { var line: Int; var item: Int? }
public protocol IndexedError: Error {
    /// The index of the item, counted from zero over the whole input; nil if there is no such item, or it is not known.
    var item: Int? { get set }
}

/// The error with its item noted, if it can have one and has none.
func indexed(_ error: any Error, _ item: Int) -> any Error {
    guard var error = error as? any IndexedError, error.item == nil else { return error }
    error.item = item
    return error
}

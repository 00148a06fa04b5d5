/// Which build of a program a process runs.
///
/// Closures travel as places in the code: they mean something to processes of the same executable only.
public enum ExecutableIdentity {
    /// The build of this process's executable: its ELF build id, else a hash of its layout. Empty if it cannot be told.
    public static var current: [UInt8] { ProcessImages.named("")?.identity ?? [] }
}

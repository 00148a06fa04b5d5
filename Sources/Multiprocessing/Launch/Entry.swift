internal import MultiprocessingSystem

/// Where a re-executed copy of this program arrives, before `main`. Called by the constructor; must not return.
@c(_mp_swift_entry)
func enterRole(_ role: UnsafePointer<CChar>) {
    // Executing this program left them open across exec: a program that a body starts, and leaves behind, would hold them.
    for number in [ThisProcess.channelNumber, ThisProcess.lifelineNumber] { ThisProcess.setCloseOnExec(number) }
    switch String(cString: role) {
    case ProcessRole.forkServer.rawValue:
        ForkServerMain.run(control: ThisProcess.channelNumber, lifeline: ThisProcess.lifelineNumber)
    case ProcessRole.boundForkServer.rawValue:
        // It was for this process alone, not for programs that its children start.
        ThisProcess.setEnvironment(Reexecution.bindNow, nil)
        ForkServerMain.run(control: ThisProcess.channelNumber, lifeline: ThisProcess.lifelineNumber)
    case ProcessRole.child.rawValue:
        guard let lifelines = try? ChildMain.armLifelines(ThisProcess.lifelineNumber) else { ThisProcess.exitNow(0) }
        ThisProcess.closeRange(ThisProcess.lifelineNumber, ThisProcess.lifelineNumber)
        ChildMain.serve(channel: ThisProcess.channelNumber, lifelines: lifelines)
    case ProcessRole.tracker.rawValue:
        TrackerMain.run(listener: ThisProcess.channelNumber)
    default:
        ThisProcess.exitNow(127)
    }
}

/// What a program is re-executed as.
enum ProcessRole: String {
    case forkServer = "1:server"
    /// A fork server that was given ``Reexecution/bindNow``.
    case boundForkServer = "1:server-bound"
    case child = "1:child"
    /// See ``TrackerMain``.
    case tracker = "1:tracker"
}

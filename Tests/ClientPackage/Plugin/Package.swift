// swift-tools-version: 6.1

import PackageDescription

let package = Package(
    name: "Plugin",
    products: [.library(name: "Plugin", type: .dynamic, targets: ["Plugin"])],
    targets: [.target(name: "Plugin")]
)

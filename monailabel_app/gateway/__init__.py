"""The ASGI gateway: MONAI Label's REST contract, with queues, jobs, access control and an audit trail."""

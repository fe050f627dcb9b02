"""The service as gRPC knows it: serve.proto, and what is generated from it (`make proto`)."""

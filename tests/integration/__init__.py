"""The whole product on a real broker: files and a simulated bank in, and every figure against SQL."""

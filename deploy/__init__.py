"""What Tidegauge runs on: settings, the topic catalogue, the embedded servers, files for compose."""

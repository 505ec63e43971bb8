"""The screens, shipped with the API they call: page skeletons here, their life in the ES modules under `static/`."""
